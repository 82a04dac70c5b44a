"""Protocols: which faces are evaluated, and how the reported epoch is selected.

A protocol has a name (``ferplus@majority``), a version that changes with its meaning, and the expected number of faces
in a complete copy of the dataset. Each dataset declares its own protocols (:mod:`mfer_lightning.data.datasets`). The
*training* target is a separate choice (:mod:`mfer_lightning.data.targets`): runs with different targets are compared
under the same protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from mfer_lightning.errors import UserError

#: How the reported epoch is selected, in the words used by results and reports.
BEST_ON_VAL = "best epoch on val"
BEST_ON_TEST = "best epoch on test (as in most papers; optimistic)"
LAST_EPOCH = "last epoch"


@dataclass(frozen=True)
class Expected:
    """Number of faces in a complete copy.

    Args:
        partition: the official partition.
        rule: label or target rule under which faces are counted.
        count: the total, or one count per class in the order of the dataset.
        layout: prefix of the layout name that the count applies to; empty: every layout.
    """

    partition: str
    rule: str
    count: int | tuple[int, ...]
    layout: str = ""


@dataclass(frozen=True)
class Protocol:
    """An evaluation set and a selection rule.

    Args:
        name: ``dataset@protocol``, as stored in every result.
        class_names: canonical emotions in the order of the dataset; empty if the files define the classes.
        selection: how the reported epoch is selected, in words; usually one of the constants above.
        train: partitions used for training.
        val: partition used for selection; ``"holdout"``: held out from ``train``; None: no selection.
        test: partition used for reporting; ``"holdout"``: held out from ``train`` before val, if the dataset has no
            official test set.
        label_rule: rule of the hard label for evaluation: ``"label"`` (from the files), ``"majority"`` or ``"argmax"``.
        target: default rule for training targets.
        monitor: validation metric used for selection.
        version: version number, increased if the meaning of the protocol changes.
        holdout_fraction: fraction of ``train`` to hold out for val.
        holdout_seed: random seed of the splits, so that all runs of a protocol share them.
        test_fraction: fraction of ``train`` to hold out for test.
        folds: number of folds that the subjects of ``train`` are assigned to, ``"loso"`` for one subject per fold
            (leave one subject out); see :mod:`mfer_lightning.data.folds`. None: no folds.
        fold: the test fold.
        expected: expected counts of a complete copy.
    """

    name: str
    class_names: tuple[str, ...]
    selection: str = BEST_ON_VAL
    train: tuple[str, ...] = ("train",)
    val: Literal["holdout", "val", "test"] | None = "holdout"
    test: Literal["val", "test", "holdout"] = "test"
    label_rule: str = "label"
    target: str = "label"
    monitor: Literal["accuracy", "mean_class_accuracy"] = "accuracy"
    version: int = 1
    holdout_fraction: float = 0.1
    holdout_seed: int = 2024
    test_fraction: float = 0.2
    folds: int | Literal["loso"] | None = None
    fold: int = 0
    expected: tuple[Expected, ...] = ()

    @property
    def dataset(self) -> str:
        """The name of the dataset."""
        return self.name.partition("@")[0]

    @property
    def short_name(self) -> str:
        """The name without the dataset, as in ``dataset.protocol=``."""
        return self.name.partition("@")[2]

    @property
    def marked(self) -> bool:
        """Whether the epoch is selected on the reported faces, so that results are optimistic."""
        return self.val == self.test and not self.cuts_partition

    @property
    def cuts_partition(self) -> bool:
        """Whether test faces are taken from the training partition, so that the partition does not identify them."""
        return self.folds is not None or self.test == "holdout"

    @property
    def takes_last_epoch(self) -> bool:
        """Whether there is no selection and the last epoch is reported."""
        return self.val is None

    def describe(self, split: str) -> str:
        """Describe the contents of a split in words.

        Args:
            split: ``"train"``, ``"val"`` or ``"test"``.

        Example:
            >>> Protocol("mine@dev", ("a", "b"), test="val", label_rule="majority").describe("val")
            'seeded stratified 10% of train, by the label rule majority'
        """
        source = {"train": " + ".join(self.train), "val": self.val, "test": self.test}[split]
        if source is None:
            return "nothing"
        if self.folds is not None:
            part = f"subject {self.fold}" if self.folds == "loso" else f"fold {self.fold} of {self.folds}"
            if split == "test":
                return f"{part}, left out" if self.folds == "loso" else part
            rest = "all other subjects" if split == "train" else "the next tenth of the subjects"
            return f"{rest} ({part} is tested)"
        if source == "holdout":
            share = self.test_fraction if split == "test" else self.holdout_fraction
            source = f"seeded stratified {share:.0%} of {' + '.join(self.train)}"
        elif split == "train":
            return f"{source} without the holdout" if self.val == "holdout" else source
        else:
            source = f"all of {source}"
        return source if self.label_rule == "label" else f"{source}, by the label rule {self.label_rule}"

    def at_fold(self, fold: int | None) -> Protocol:
        """Return the protocol with one of its folds as the test set.

        Args:
            fold: number of the fold; None: the first.

        Raises:
            UserError: if the protocol has no folds, or no such fold.
        """
        if fold is None:
            return self
        if self.folds is None:
            raise UserError(f"dataset.fold={fold}: {self.name} has no folds. Leave out the option.")
        if fold < 0 or (self.folds != "loso" and fold >= self.folds):
            last = "the number of subjects minus one" if self.folds == "loso" else self.folds - 1
            raise UserError(f"dataset.fold={fold} is not one of the folds of {self.name}: use 0 to {last}.")
        return replace(self, fold=fold)

    def with_classes(self, class_names: tuple[str, ...]) -> Protocol:
        """Return the protocol with the given classes if it does not define any; otherwise, return it unchanged."""
        return self if self.class_names else replace(self, class_names=class_names)


def protocols_by_subject(
    dataset: str, class_names: tuple[str, ...], expected: tuple[Expected, ...] = (), mark: str = ""
) -> tuple[Protocol, Protocol]:
    """Return the protocols ``kfold10`` (ten folds by subject) and ``loso`` (leave one subject out) of a dataset.

    Args:
        dataset: name of the dataset.
        class_names: the evaluated classes.
        expected: counts of a complete copy.
        mark: suffix of both names.
    """
    return (
        Protocol(f"{dataset}@kfold10{mark}", class_names, folds=10, expected=expected),
        Protocol(f"{dataset}@loso{mark}", class_names, folds="loso", expected=expected),
    )
