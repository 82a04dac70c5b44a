"""Split faces into a held-out set and the rest, or into parts: stratified, whole photos and people, reproducible."""

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
    groups = _Groups(label, names, seed, group)
    held_groups = np.zeros(len(groups.size), dtype=bool)
    for mine in groups.by_class:
        quota = round(fraction * float(groups.size[mine].sum()))
        if quota == 0 and len(mine) > 1:  # a small class gives one group, so that its recall can be measured
            quota = 1
        total = 0
        for g in mine:
            if total >= quota:
                break
            if total + groups.size[g] - quota <= quota - total:  # closer to the quota with it than without
                held_groups[g] = True
                total += int(groups.size[g])
    return held_groups[groups.member]


def parts(
    label: NDArray[np.int64], names: Sequence[str], count: int, seed: int, group: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Deal faces out to parts of about the same size, each class evenly.

    As :func:`holdout`, it depends on names, labels and seed alone, and faces of one group stay together.

    Args:
        label: (N,) classes.
        names: N file names or paths.
        count: how many parts, at least 2.
        seed: which parts.
        group: (N,); a group counts as its rarest class.

    Returns:
        (N,) the part of each face, from 0. Some are empty if there are fewer groups than parts.

    Raises:
        ValueError: for fewer than two parts.

    Example:
        >>> part = parts(np.array([0] * 9 + [1] * 6), [f"{i}.png" for i in range(15)], 3, seed=0)
        >>> np.bincount(part[:9]).tolist(), np.bincount(part[9:]).tolist()
        ([3, 3, 3], [2, 2, 2])
    """
    if count < 2:
        raise ValueError(f"Expected argument `count` to be at least 2, but got {count}.")
    groups = _Groups(label, names, seed, group)
    part, total = np.zeros(len(groups.size), dtype=np.int64), np.zeros(count, dtype=np.int64)
    for mine in groups.by_class:
        of_class = np.zeros(count, dtype=np.int64)
        for g in mine:
            least = int(np.lexsort((total, of_class))[0])  # the fewest of the class, of those the fewest of all
            part[g] = least
            of_class[least] += groups.size[g]
            total[least] += groups.size[g]
    return part[groups.member]


class _Groups:
    """Groups of faces, class by class in a random order that depends on the faces' names and the seed alone.

    Args:
        label: (N,) classes.
        names: N names or paths.
        seed: which order.
        group: (N,), or None: each face by itself.

    Attributes:
        member: (N,) the group of each face, from 0.
        size: (G,) faces of each group.
        by_class: the groups of each class that there is; a group is of its rarest class.
    """

    def __init__(
        self, label: NDArray[np.int64], names: Sequence[str], seed: int, group: NDArray[np.int64] | None
    ) -> None:
        n = len(label)
        stems = [PurePosixPath(name).stem.removesuffix("_aligned") for name in names]
        if len(set(stems)) < n:
            stems = list(names)
        order = name_order(stems, seed)
        _, member = np.unique(np.arange(n) if group is None else np.asarray(group), return_inverse=True)
        self.member: NDArray[np.int64] = member
        self.size: NDArray[np.int64] = np.bincount(member)

        classes, counts = np.unique(label, return_counts=True)
        rarity = np.full(int(classes.max(initial=0)) + 1, n + 1)
        rarity[classes] = counts
        group_class = np.full(len(self.size), -1, dtype=np.int64)
        for row in sorted(range(n), key=lambda r: -rarity[label[r]]):  # the rarest writes last
            group_class[member[row]] = label[row]

        # A group's place in the random order is that of its first face.
        _, first = np.unique(member[order], return_index=True)
        places = np.argsort(first, kind="stable")
        self.by_class = [places[group_class[places] == k] for k in classes]
