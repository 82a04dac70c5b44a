"""Hold a validation set out of a training set: stratified, keeping photos and people together, equal in every run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.data.seeding import name_order


def holdout(
    label: NDArray[np.int64], names: Sequence[str], fraction: float, seed: int, group: NDArray[np.int64] | None = None
) -> NDArray[np.bool_]:
    """Select the faces to hold out.

    The selection depends on file names, labels and the seed, not on the order of rows, the folders of the files, or the
    run: every copy of a dataset gives the same holdout.

    Args:
        label: (N,) classes; each class contributes ``fraction`` of its faces, rounded to the nearest face or group, and
            at least one if it has two.
        names: N file names or paths; folders, file ending and a final ``_aligned`` are ignored.
        fraction: fraction to hold out, within (0, 1).
        seed: random seed of the holdout.
        group: (N,); faces of a group stay together. A group counts towards its rarest class.

    Returns:
        (N,) bool, True if a face is held out.

    Raises:
        ValueError: if ``fraction`` is not within (0, 1).

    Example:
        >>> held = holdout(np.array([0] * 10 + [1] * 20), [f"{i}.png" for i in range(30)], 0.1, seed=0)
        >>> int(held[:10].sum()), int(held[10:].sum())
        (1, 2)
    """
    if not 0 < fraction < 1:
        raise ValueError(f"Expected argument `fraction` within (0, 1), but got {fraction}.")
    n = len(label)
    stems = [PurePosixPath(name).stem.removesuffix("_aligned") for name in names]
    if len(set(stems)) < n:
        stems = list(names)
    order = name_order(stems, seed)
    group = np.arange(n) if group is None else np.asarray(group)
    _, member = np.unique(group, return_inverse=True)
    size = np.bincount(member)

    classes, counts = np.unique(label, return_counts=True)
    rarity = np.full(int(classes.max(initial=0)) + 1, n + 1)
    rarity[classes] = counts
    group_class = np.full(len(size), -1, dtype=np.int64)
    for row in sorted(range(n), key=lambda r: -rarity[label[r]]):  # the rarest class is written last
        group_class[member[row]] = label[row]

    # The position of a group in the random order is that of its first face.
    _, first = np.unique(member[order], return_index=True)
    places = np.argsort(first, kind="stable")
    held_groups = np.zeros(len(size), dtype=bool)
    for k in classes:
        mine = places[group_class[places] == k]
        quota = round(fraction * float(size[mine].sum()))
        if quota == 0 and len(mine) > 1:  # a small class gives one group, so that its recall can be measured
            quota = 1
        total = 0
        for g in mine:
            if total >= quota:
                break
            if total + size[g] - quota <= quota - total:  # closer to the quota with it than without
                held_groups[g] = True
                total += int(size[g])
    return held_groups[member]
