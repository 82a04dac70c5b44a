"""Create train, val and test splits of an index from a protocol and a training target."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.data.folds import split_by_subject
from mfer_lightning.data.holdout import holdout
from mfer_lightning.data.index import FaceIndex
from mfer_lightning.data.protocols import Protocol
from mfer_lightning.data.targets import TARGET_RULES, VOTE_RULES, Targets, targets_from_labels, targets_from_votes
from mfer_lightning.errors import UserError, nearest
from mfer_lightning.plurals import counted

#: Note for the user if the copy of the dataset has no test images.
TEST_IS_MISSING = "the test images are missing: results are on val, on which the checkpoint was selected"


@dataclass(frozen=True)
class Split:
    """Faces of one split.

    Args:
        rows: (n,) int64 rows of the index.
        label: (n,) int64 hard labels.
        target: (n,K) float32 targets.
    """

    rows: NDArray[np.int64]
    label: NDArray[np.int64]
    target: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, positions: NDArray[np.int64] | None) -> Split:
        """Return the faces at these positions, in this order; None: all."""
        if positions is None:
            return self
        return Split(self.rows[positions], self.label[positions], self.target[positions])


@dataclass(frozen=True)
class Splits:
    """Train, validation and test faces.

    Args:
        train: training faces.
        val: faces for selecting the checkpoint; empty if the protocol has no selection.
        test: faces for reporting; empty if the files are absent.
        target_rule: rule of the training targets.
        notes: information for the user, as sentences.
    """

    train: Split
    val: Split
    test: Split
    target_rule: str
    notes: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Split:
        splits = {"train": self.train, "val": self.val, "test": self.test}
        if name not in splits:
            raise ValueError(f"Expected argument `name` to be one of {tuple(splits)}, but got {name!r}.")
        return splits[name]

    def labels(self, faces: int) -> NDArray[np.int64]:
        """Return the label of each row of the index, -1 if it is in no split.

        Args:
            faces: number of rows of the index.

        Returns:
            (faces,) int64.
        """
        label = np.full(faces, -1, dtype=np.int64)
        for split in (self.train, self.val, self.test):
            label[split.rows] = split.label
        return label

    def fingerprint(self) -> str:
        """Return the SHA-256 over rows, labels and targets of all splits, which identifies the faces and labels."""
        digest = hashlib.sha256()
        for name in ("train", "val", "test"):
            split = self[name]
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(split.rows, dtype="<i8").tobytes())
            digest.update(np.ascontiguousarray(split.label, dtype="<i8").tobytes())
            digest.update(np.ascontiguousarray(split.target, dtype="<f4").tobytes())
        return digest.hexdigest()


def legal_rules(index: FaceIndex) -> tuple[str, ...]:
    """Return the target rules supported by the columns of an index."""
    hard = ("label", "majority") if len(index) and bool((index.label >= 0).all()) else ()
    soft = VOTE_RULES if index.votes is not None else ()
    return tuple(dict.fromkeys(hard + soft))


def apply_rule(index: FaceIndex, rule: str) -> Targets:
    """Apply a label or target rule to all faces of an index.

    If the files contain labels, ``majority`` uses them. If the true mixture of emotions is known (``index.mixture``,
    for rendered faces), ``crossentropy`` and ``probability`` use it. Otherwise, the rules use votes.

    Args:
        index: the faces.
        rule: one of :data:`~mfer_lightning.data.targets.TARGET_RULES`.

    Raises:
        UserError: if the rule does not exist, or the index has no column for it.
    """
    legal = legal_rules(index)
    if rule not in legal:
        if rule in TARGET_RULES:
            why = "has labels but no votes" if index.votes is None else "has votes but no labels"
            raise UserError(
                f"dataset.target={rule} is not possible: {index.dataset} ({index.layout}) {why}. "
                f"Possible values: {', '.join(legal)}."
            )
        raise UserError(f"dataset.target={rule} is not a target rule: {nearest(rule, legal)}")
    if "label" in legal and rule in ("label", "majority"):
        return targets_from_labels(index.label, len(index.class_names))
    if index.mixture is not None and rule in ("crossentropy", "probability"):
        return Targets(np.ones(len(index), dtype=bool), index.mixture, index.mixture.argmax(axis=1))
    votes = cast("NDArray[np.int64]", index.votes)  # the remaining rules are legal only with votes
    return targets_from_votes(votes, index.vote_names, index.class_names, rule)


def make_splits(
    index: FaceIndex, protocol: Protocol, target_rule: str | None = None, needed: tuple[str, ...] = ("train", "val")
) -> Splits:
    """Create the splits of a protocol.

    Training faces are those with a target under the target rule. Validation and test faces are those with a label under
    the protocol, independently of the target rule; they keep the target of the target rule if there is one;
    otherwise, their target is one-hot. Holdouts are drawn with the seed of the protocol, so all runs share them.

    Args:
        index: the faces.
        protocol: the protocol; its class names must match the index.
        target_rule: the rule for training targets; None: the protocol's default.
        needed: splits that must not be empty (val only if the protocol has a selection). Training needs both train and
            val; evaluation needs neither, because a copy may contain only the test files.

    Returns:
        The splits, with notes on absent files and unexpected counts.

    Raises:
        UserError: if a required split is empty, the index has no columns for a rule, the fold does not exist, or the
            test images are missing under a protocol without a validation set.
        ValueError: if the classes of protocol and index differ, or the protocol has folds but the index has no groups.
    """
    protocol = protocol.with_classes(index.class_names)
    if protocol.class_names != index.class_names:
        raise ValueError(
            f"Expected argument `index` with the classes {protocol.class_names} of {protocol.name}, "
            f"but got {index.class_names}."
        )
    rule = target_rule or protocol.target
    targets = apply_rule(index, rule)
    truth = apply_rule(index, protocol.label_rule)
    notes = count_notes(index, protocol, rule, targets, truth)

    trained = np.isin(index.partition, protocol.train) & targets.keep
    if protocol.folds is not None:
        if index.group is None:
            raise ValueError(
                f"Expected argument `index` with the subjects as groups, for the folds of {protocol.name}."
            )
        tested, selected = (mask & truth.keep for mask in split_by_subject(index.group, protocol))
        trained &= ~_with_its_group(tested | selected, index)
    else:
        tested, selected = _by_partition(index, protocol, truth)
        held = [mask for mask, source in ((tested, protocol.test), (selected, protocol.val)) if source == "holdout"]
        for mask in held:  # a face without a hard label may share a photo with a held-out one
            trained &= ~_with_its_group(mask, index)

    if index.group is not None and protocol.val != protocol.test:
        leaked = trained & np.isin(index.group, np.unique(index.group[tested]))
        if leaked.any():
            trained &= ~leaked
            notes.append(
                counted(
                    int(leaked.sum()),
                    "training face shares a photo or person with the test set and was left out",
                    "training faces share a photo or person with the test set and were left out",
                )
            )

    if not tested.any():
        _explain_absent_test(index, protocol, notes)
    if "train" in needed and not trained.any():
        raise _empty("train", index, protocol, rule)
    if "val" in needed and protocol.val is not None and not selected.any():
        raise _empty("val", index, protocol, protocol.label_rule)
    evaluation = Targets(truth.keep, np.where(targets.keep[:, None], targets.target, one_hot(truth)), truth.label)
    missing = np.flatnonzero(np.bincount(targets.label[trained], minlength=len(index.class_names)) == 0)
    if len(missing) and trained.any():
        notes.append(f"no training image of {', '.join(index.class_names[k] for k in missing)}")
    return Splits(
        train=_take(trained, targets),
        val=_take(selected, evaluation),
        test=_take(tested, evaluation),
        target_rule=rule,
        notes=tuple(notes),
    )


def _by_partition(index: FaceIndex, protocol: Protocol, truth: Targets) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return (N,) bool masks of test and validation faces; held-out faces are drawn from train."""
    candidates = np.isin(index.partition, protocol.train) & truth.keep
    if protocol.test == "holdout":
        tested = _held_out(index, protocol, truth, candidates, protocol.test_fraction)
        candidates &= ~_with_its_group(tested, index)
    else:
        tested = (index.partition == protocol.test) & truth.keep
    if protocol.val == "holdout":
        return tested, _held_out(index, protocol, truth, candidates, protocol.holdout_fraction)
    return tested, (index.partition == str(protocol.val)) & truth.keep  # no faces if val is None


def _held_out(
    index: FaceIndex, protocol: Protocol, truth: Targets, candidates: NDArray[np.bool_], fraction: float
) -> NDArray[np.bool_]:
    rows = np.flatnonzero(candidates)
    held = np.zeros(len(index), dtype=bool)
    names = [str(path) for path in index.path[rows]]
    group = None if index.group is None else index.group[rows]
    held[rows[holdout(truth.label[rows], names, fraction, protocol.holdout_seed, group)]] = True
    return held


def _with_its_group(mask: NDArray[np.bool_], index: FaceIndex) -> NDArray[np.bool_]:
    return mask if index.group is None else np.isin(index.group, np.unique(index.group[mask]))


def one_hot(targets: Targets) -> NDArray[np.float32]:
    """Return (N,K) one-hot rows of the labels; rows without a label are 0."""
    return targets_from_labels(targets.label, targets.target.shape[1]).target


def count_notes(index: FaceIndex, protocol: Protocol, rule: str, targets: Targets, truth: Targets) -> list[str]:
    """Report where the number of faces differs from that of a complete copy.

    Args:
        index: the faces.
        protocol: protocol with the expected counts.
        rule: the target rule.
        targets: the result of the target rule.
        truth: the result of the protocol's label rule.

    Returns:
        One sentence per difference; empty if there is none.
    """
    notes = []
    found_by = {rule: targets, protocol.label_rule: truth}
    for expected in protocol.expected:
        result = found_by.get(expected.rule)
        here = index.partition == expected.partition
        if result is None or not index.layout.startswith(expected.layout) or not here.any():
            continue
        classes = np.bincount(result.label[here & result.keep], minlength=len(index.class_names))
        whole = expected.count if isinstance(expected.count, int) else sum(expected.count)
        if int(classes.sum()) != whole:
            notes.append(
                f"{expected.partition} has {counted(int(classes.sum()), 'image')} under the rule {expected.rule!r}, "
                f"but a complete copy has {whole:,}"
            )
        elif isinstance(expected.count, tuple) and tuple(classes.tolist()) != expected.count:
            notes.append(
                f"{expected.partition} has {_counts(index, classes.tolist())}, but a complete copy has "
                f"{_counts(index, expected.count)}: is the class order correct?"
            )
    return notes


def _counts(index: FaceIndex, counts: tuple[int, ...] | list[int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in zip(index.class_names, counts, strict=True))


def _explain_absent_test(index: FaceIndex, protocol: Protocol, notes: list[str]) -> None:
    if protocol.val in (None, "test"):
        raise UserError(
            f"{protocol.name} cannot be evaluated: {index.root} has no {protocol.test} images, and the protocol "
            f"has no separate validation set ({protocol.selection}). Add the test images, or use another protocol."
        )
    notes.append(TEST_IS_MISSING)


def _empty(split: str, index: FaceIndex, protocol: Protocol, rule: str) -> UserError:
    partitions = protocol.train if split == "train" or protocol.val == "holdout" else (str(protocol.val),)
    counts = {p: int((index.partition == p).sum()) for p in ("train", "val", "test")}
    return UserError(
        f"The {split} split of {protocol.name} is empty: {index.root} ({index.layout}) has "
        f"{', '.join(f'{n:,} {p}' for p, n in counts.items())} images, and the split is taken from "
        f"{' + '.join(partitions)} under the rule {rule!r}. Add the missing images, or choose another protocol."
    )


def _take(mask: NDArray[np.bool_], targets: Targets) -> Split:
    rows = np.flatnonzero(mask).astype(np.int64)
    return Split(rows, targets.label[rows].astype(np.int64), targets.target[rows].astype(np.float32))
