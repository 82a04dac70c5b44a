"""Controlled changes to the training set: label noise, corrections, a held-out part, and fewer faces.

Label noise follows SCN (Wang et al., CVPR 2020), RUL (Zhang et al., NeurIPS 2021) and EAC (Zhang et al., ECCV 2022):
10, 20 or 30% of the training labels are changed to another class, chosen uniformly. The authors have not published
lists of these labels, so the flips are drawn with a seed and recorded with a hash that identifies the noise of a run.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mfer_lightning.data.corrections import exclude_faces, relabel_faces
from mfer_lightning.data.holdout import parts
from mfer_lightning.data.index import FaceIndex
from mfer_lightning.data.seeding import STREAM_NOISE, name_order, uniforms
from mfer_lightning.data.splits import Split, Splits
from mfer_lightning.errors import UserError
from mfer_lightning.files import write_json
from mfer_lightning.plurals import counted

#: Random seed of the parts of ``dataset.hold_out``. It does not depend on the seed of the run, so all runs share them.
_PARTS_SEED = 2024


@dataclass(frozen=True)
class NoiseManifest:
    """Record of the flipped labels.

    Args:
        protocol: protocol of the training set.
        rate: fraction of flipped labels.
        seed: random seed of the flips.
        total: number of training faces.
        flips: (path, true class, given class), sorted by path.
    """

    protocol: str
    rate: float
    seed: int
    total: int
    flips: tuple[tuple[str, str, str], ...]

    @property
    def hash(self) -> str:
        """SHA-256 over the flips, in hexadecimal digits."""
        return hashlib.sha256(json.dumps(self.flips).encode()).hexdigest()

    def write(self, path: str | Path) -> None:
        """Write the manifest as JSON."""
        facts = {"protocol": self.protocol, "rate": self.rate, "seed": self.seed, "total": self.total}
        flips = [dict(zip(("path", "true", "given"), flip, strict=True)) for flip in self.flips]
        write_json(path, {**facts, "flipped": len(flips), "sha256": self.hash, "flips": flips})


def flip_labels(
    split: Split, paths: Sequence[str], class_names: Sequence[str], rate: float, seed: int, protocol: str = ""
) -> tuple[Split, NoiseManifest]:
    """Flip labels of a training split.

    Args:
        split: the training faces.
        paths: their n paths. The flips depend only on paths, labels, rate and seed, not on the order of the rows.
        class_names: the K class names.
        rate: fraction to flip, within [0, 1); ``round(rate * n)`` faces are flipped.
        seed: random seed of the flips.
        protocol: protocol name for the manifest.

    Returns:
        The split, with new labels and one-hot targets for the flipped faces, and the manifest.

    Raises:
        ValueError: if the rate is out of range or there is only one class.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"Expected argument `rate` within [0, 1), but got {rate}.")
    k = len(class_names)
    if k < 2:
        raise ValueError(f"Expected argument `class_names` to contain at least 2 classes, but got {k}.")
    order = name_order(paths, seed)
    flipped = order[: round(rate * len(split))]
    place = np.arange(len(flipped))
    steps = 1 + (uniforms(seed, 0, place, STREAM_NOISE) * (k - 1)).astype(np.int64)
    label, target = split.label.copy(), split.target.copy()
    label[flipped] = (split.label[flipped] + steps) % k
    target[flipped] = np.eye(k, dtype=np.float32)[label[flipped]]
    flips = sorted((paths[i], class_names[split.label[i]], class_names[label[i]]) for i in flipped.tolist())
    return Split(split.rows, label, target), NoiseManifest(protocol, rate, seed, len(split), tuple(flips))


def first_faces(split: Split, paths: Sequence[str], count: int, seed: int) -> Split:
    """Select a random subset of a split, which depends only on the paths and the seed.

    Args:
        split: n faces.
        paths: their n paths.
        count: number of faces to select; all of them if there are fewer.
        seed: random seed of the selection.
    """
    chosen = np.sort(name_order(list(paths), seed)[:count])
    return Split(split.rows[chosen], split.label[chosen], split.target[chosen])


def hold_out_part(split: Split, index: FaceIndex, part: str) -> Split:
    """Leave one of several parts out of a training set, so that the trained network can be used to audit its labels.

    The parts are stratified by class, and faces of one photo or person are in the same part. The parts depend only on
    file names and labels, so they are the same for all seeds.

    Args:
        split: the training faces.
        index: all faces.
        part: the part to leave out and the number of parts, e.g. ``"1/3"`` to ``"3/3"``.

    Returns:
        The faces of the other parts.

    Raises:
        UserError: if ``part`` is malformed, or there are too few faces for this number of parts.
    """
    found = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", str(part))
    which, count = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= which <= count or count < 2:
        raise UserError(f"dataset.hold_out={part} is not a part: write 1/3 for the first of three parts, up to 3/3.")
    group = None if index.group is None else index.group[split.rows]
    dealt = parts(split.label, [str(path) for path in index.path[split.rows]], count, _PARTS_SEED, group)
    kept = np.flatnonzero(dealt != which - 1)
    if len(kept) == 0 or len(kept) == len(split):
        raise UserError(
            f"dataset.hold_out={part}: {counted(len(split), 'training face')} cannot be divided into {count} "
            "parts. Use fewer parts."
        )
    return split.take(kept)


def change_training_set(
    splits: Splits,
    index: FaceIndex,
    protocol: str,
    *,
    label_noise: float,
    label_noise_seed: int,
    train_faces: int | None,
    seed: int,
    relabel: str | Path | None = None,
    exclude: Sequence[str | Path] = (),
    hold_out: str | None = None,
) -> tuple[Splits, NoiseManifest | None, list[str]]:
    """Change a training set for an experiment.

    The changes are applied in this order: flip labels, relabel, exclude, hold out a part, select a subset. Corrections
    come after the flips, so that a list from an audit of flipped labels corrects these flips.

    Args:
        splits: splits of the protocol.
        index: the faces.
        protocol: protocol name for the manifest.
        label_noise: fraction of the labels to flip; 0: none.
        label_noise_seed: random seed of the flips.
        train_faces: number of faces to keep; None: all.
        seed: random seed of the subset.
        relabel: table of new labels (:func:`~mfer_lightning.data.corrections.relabel_faces`).
        exclude: lists of faces to exclude (:func:`~mfer_lightning.data.corrections.exclude_faces`).
        hold_out: part to leave out, e.g. ``"1/3"`` (:func:`hold_out_part`); None: none.

    Returns:
        The splits, the manifest of flips (None without flips), and notes on the changes, as sentences.

    Raises:
        UserError: if a list or table cannot be read or does not match, or the part is invalid.
    """
    train, manifest, notes = splits.train, None, []
    paths = [str(path) for path in index.path[train.rows]]
    if label_noise:
        train, manifest = flip_labels(train, paths, index.class_names, label_noise, label_noise_seed, protocol)
        notes.append(
            f"{counted(len(manifest.flips), 'training label was', 'training labels were')} flipped on purpose "
            f"(label noise {label_noise:.0%}, {manifest.hash[:12]})"
        )
    if relabel is not None:
        train, done = relabel_faces(train, index, relabel)
        notes += done
    if exclude:
        train, done = exclude_faces(train, index, exclude)
        notes += done
        paths = [str(path) for path in index.path[train.rows]]
    if hold_out is not None:
        before, train = len(train), hold_out_part(train, index, hold_out)
        notes.append(f"part {hold_out} of the training faces is held out ({before - len(train):,} of {before:,})")
        paths = [str(path) for path in index.path[train.rows]]
    if train_faces is not None and train_faces < len(train):
        train = first_faces(train, paths, train_faces, seed)
        notes.append(f"trained on only {len(train):,} of {counted(len(splits.train), 'training face')}")
    return replace(splits, train=train), manifest, notes


def fitting_batch(faces: int, batch_size: int, ranks: int, *, shrinks: bool, protocol: str) -> int:
    """Return a batch size that a training set can fill.

    Args:
        faces: number of training faces.
        batch_size: requested batch size over all ranks.
        ranks: number of ranks.
        shrinks: if there are fewer faces, reduce the batch size to the largest possible multiple of ``ranks`` instead
            of raising an error.
        protocol: protocol name for the message.

    Raises:
        UserError: if the batch size is larger than the training set, and ``shrinks`` is false or there are fewer faces
            than ranks.

    Example:
        >>> fitting_batch(101, 256, 2, shrinks=True, protocol="folder@native")
        100
    """
    if faces < batch_size and not (shrinks and faces >= ranks):
        raise UserError(
            f"The training split of {protocol} has {counted(faces, 'face')}, fewer than "
            f"loader.batch_size={batch_size}. Use a smaller batch size, or remove the option, so that one batch "
            "contains all faces."
        )
    return faces // ranks * ranks if shrinks and ranks <= faces <= batch_size else batch_size
