"""Protocols: which faces a figure is measured on, and how the measured epoch is chosen.

A protocol has a name (``ferplus@majority``), a version that changes with its meaning, and the number of faces that a
complete copy of the dataset gives. Each dataset declares its own (:mod:`mfer_lightning.data.datasets`). The target that
a network is *trained* on is a separate choice (:mod:`mfer_lightning.data.targets`): runs with different targets are
compared under one protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from mfer_lightning.errors import UserError

#: How the reported epoch is chosen, in the words that results record and reports look for.
BEST_ON_VAL = "best epoch on val"
BEST_ON_TEST = "best epoch on test (as in most papers; optimistic)"
LAST_EPOCH = "last epoch"


@dataclass(frozen=True)
class Expected:
    """How many faces a complete copy holds.

    Args:
        partition: the dataset's own partition.
        rule: the label or target rule under which faces are counted.
        count: a total, or one count a class in the dataset's order.
        layout: first words of the layout that the count applies to; empty: every layout.
    """

    partition: str
    rule: str
    count: int | tuple[int, ...]
    layout: str = ""


@dataclass(frozen=True)
class Protocol:
    """An evaluation set and a selection rule.

    Args:
        name: ``dataset@protocol``, as every result carries it.
        class_names: canonical emotions in the dataset's order; empty if the files name the classes.
        selection: how the reported epoch is chosen: one of the constants above, or words of your own.
        train: the partitions trained on.
        val: the partition selected on; ``"holdout"``: held out of ``train``; None: there is no selection.
        test: the partition reported on; ``"holdout"``: held out of ``train`` before val is, where the dataset has no
            official test part.
        label_rule: the hard label that is evaluated: ``"label"`` (the files'), ``"majority"`` or ``"argmax"``.
        target: the default rule for training targets.
        monitor: the validation metric that selects.
        version: counts changes of meaning.
        holdout_fraction: share of ``train`` that is held out.
        holdout_seed: the protocol's own seed: every run of a protocol shares its split.
        test_fraction: share of ``train`` that is held out for test.
        folds: how many folds the subjects of ``train`` are dealt out to, ``"loso"`` for one each (leave one subject
            out), each to be tested on once (:mod:`mfer_lightning.data.folds`); None: there are no folds.
        fold: which of them is tested on.
        expected: counts of a complete copy.
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
        """The dataset's name."""
        return self.name.partition("@")[0]

    @property
    def short_name(self) -> str:
        """The name without the dataset, as ``dataset.protocol=`` takes it."""
        return self.name.partition("@")[2]

    @property
    def marked(self) -> bool:
        """Whether the epoch is selected on the reported faces, so that figures are optimistic."""
        return self.val == self.test and not self.cuts_partition

    @property
    def cuts_partition(self) -> bool:
        """Whether test faces are of the same partition as the training faces, so that only rows tell them apart."""
        return self.folds is not None or self.test == "holdout"

    @property
    def takes_last_epoch(self) -> bool:
        """Whether nothing is selected and the last epoch is reported."""
        return self.val is None

    def describe(self, split: str) -> str:
        """Say in words what a split is made of.

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
            which = f"subject {self.fold}, left out" if self.folds == "loso" else f"fold {self.fold} of {self.folds}"
            return {"train": "all other subjects", "val": "the next tenth of the subjects", "test": which}[split]
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
            fold: which; None: the first.

        Raises:
            UserError: if the protocol has no folds, or not this one.
        """
        if fold is None:
            return self
        if self.folds is None:
            raise UserError(f"dataset.fold={fold}: {self.name} has no folds, so leave the option out.")
        if fold < 0 or (self.folds != "loso" and fold >= self.folds):
            last = "the number of subjects less one" if self.folds == "loso" else self.folds - 1
            raise UserError(f"dataset.fold={fold} is none of the folds of {self.name}: say 0 to {last}.")
        return replace(self, fold=fold)

    def with_classes(self, class_names: tuple[str, ...]) -> Protocol:
        """Return the protocol with the classes that the files name, where it fixes none itself."""
        return self if self.class_names else replace(self, class_names=class_names)


def protocols_by_subject(
    dataset: str, class_names: tuple[str, ...], expected: tuple[Expected, ...] = (), mark: str = ""
) -> tuple[Protocol, Protocol]:
    """Return the protocols ``kfold10`` (ten folds by subject) and ``loso`` (leave one subject out) of a dataset.

    Args:
        dataset: its name.
        class_names: the classes that are measured.
        expected: counts of a complete copy.
        mark: added to both names.
    """
    return (
        Protocol(f"{dataset}@kfold10{mark}", class_names, folds=10, expected=expected),
        Protocol(f"{dataset}@loso{mark}", class_names, folds="loso", expected=expected),
    )
