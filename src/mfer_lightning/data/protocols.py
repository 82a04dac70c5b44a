"""Protocols: which faces a figure is measured on, and how the epoch that is measured was chosen.

A figure without these two means nothing, so they have a name together (``ferplus@majority``), a version that changes
with every change of their meaning, and the counts that a whole copy of the dataset must give. The target that a network
is *trained* on is another matter (:mod:`mfer_lightning.data.targets`): runs on different targets compare on one
protocol.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from mfer_lightning.data.readers.layouts import (
    AFFECTNET_CSV,
    AFFECTNET_NPY,
    FERPLUS_FOLDERS,
    FERPLUS_PAIR,
)
from mfer_lightning.emotions import CLASS_ORDERS
from mfer_lightning.errors import UserError, nearest

Count = int | tuple[int, ...]


@dataclass(frozen=True)
class Expected:
    """How many faces a whole copy holds.

    Args:
        partition: the dataset's own partition.
        rule: the label or target rule under which faces are counted.
        count: a total, or one count a class in the dataset's order.
        layout: beginning of the layout that the count is for; empty: for every layout.
    """

    partition: str
    rule: str
    count: Count
    layout: str = ""


@dataclass(frozen=True)
class Protocol:
    """An evaluation set and a selection rule.

    Args:
        name: ``dataset@protocol``, as every result carries it.
        class_names: canonical emotions in the dataset's order; empty where the files name the classes.
        selection: how the reported epoch is chosen, in words.
        train: the partitions trained on.
        val: the partition selected on; ``"holdout"``: held out of ``train``; None: there is no selection.
        test: the partition reported on.
        label_rule: the hard label that is evaluated: ``"label"`` (the files'), ``"majority"`` or ``"argmax"``.
        target: the default rule for training targets.
        monitor: the validation metric that selects.
        version: counts changes of meaning.
        marked: True where the selection sees the reported set, so that figures are optimistic.
        note: what a reader of a figure must know.
        holdout_fraction: share of ``train`` that is held out.
        holdout_seed: the protocol's own seed: every run of a protocol shares its split.
        expected: counts of a whole copy.
    """

    name: str
    class_names: tuple[str, ...]
    selection: str
    train: tuple[str, ...] = ("train",)
    val: Literal["holdout", "val", "test"] | None = "holdout"
    test: Literal["val", "test"] = "test"
    label_rule: str = "label"
    target: str = "label"
    monitor: Literal["accuracy", "mean_class_accuracy"] = "accuracy"
    version: int = 1
    marked: bool = False
    note: str = ""
    holdout_fraction: float = 0.1
    holdout_seed: int = 2024
    expected: tuple[Expected, ...] = ()

    @property
    def dataset(self) -> str:
        """The dataset's name."""
        return self.name.partition("@")[0]

    @property
    def takes_last_epoch(self) -> bool:
        """Whether nothing is selected: the last epoch is what is reported."""
        return self.val is None

    def describe(self, split: str) -> str:
        """Say in words what a split is made of.

        Args:
            split: ``"train"``, ``"val"`` or ``"test"``.

        Example:
            >>> get_protocol("ferplus", "dev").describe("val")
            'seeded stratified 10% of train, by the label rule majority'
        """
        source = {"train": " + ".join(self.train), "val": self.val, "test": self.test}[split]
        if source is None:
            return "nothing"
        if source == "holdout":
            source = f"seeded stratified {self.holdout_fraction:.0%} of {' + '.join(self.train)}"
        elif split == "train":
            return f"{source} without the holdout" if self.val == "holdout" else source
        else:
            source = f"all of {source}"
        return source if self.label_rule == "label" else f"{source}, by the label rule {self.label_rule}"

    def with_classes(self, class_names: tuple[str, ...]) -> Protocol:
        """Return the protocol with the classes that the files name, where it fixes none itself."""
        return self if self.class_names else replace(self, class_names=class_names)


BEST_ON_VAL = "best epoch on val"
BEST_ON_TEST = "best epoch on test (as in most papers; optimistic)"

_RAFDB_COUNTS = (
    Expected("train", "label", (1290, 281, 717, 4772, 1982, 705, 2524)),
    Expected("test", "label", (329, 74, 160, 1185, 478, 162, 680)),
)
_AFFECTNET_TRAIN = (74874, 134415, 25459, 14090, 6378, 3803, 24882, 3750)


def _ferplus(layout: str, rows: Mapping[str, tuple[int, int, int]]) -> tuple[Expected, ...]:
    return tuple(
        Expected(partition, rule, count, layout)
        for rule, counts in rows.items()
        for partition, count in zip(("train", "val", "test"), counts, strict=True)
    )


_FERPLUS_COUNTS = _ferplus(
    FERPLUS_FOLDERS,
    {
        "majority": (25045, 3191, 3137),
        "crossentropy": (27947, 3508, 3507),
        "probability": (27947, 3508, 3507),
        "multi": (27667, 3472, 3466),
        "argmax": (28558, 3579, 3573),
    },
) + _ferplus(
    FERPLUS_PAIR,
    {
        "majority": (25060, 3199, 3153),
        "crossentropy": (27956, 3505, 3505),
        "probability": (27956, 3505, 3505),
        "multi": (27671, 3472, 3472),
        "argmax": (28559, 3579, 3573),
    },
)

_FERPLUS = Protocol(
    name="ferplus@majority",
    class_names=CLASS_ORDERS["ferplus"],
    selection=BEST_ON_VAL,
    val="val",
    label_rule="majority",
    target="majority",
    expected=_FERPLUS_COUNTS,
)
_AFFECTNET_NOTE = "test is the official validation set: there is no public test set"

#: Every protocol by name; the first of a dataset is its default.
PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {
        protocol.name: protocol
        for protocol in (
            Protocol("rafdb@holdout", CLASS_ORDERS["rafdb"], BEST_ON_VAL, expected=_RAFDB_COUNTS),
            Protocol(
                "rafdb@paper",
                CLASS_ORDERS["rafdb"],
                BEST_ON_TEST,
                val="test",
                marked=True,
                note="trained on all of train and selected on the reported set, as most published figures are",
                expected=_RAFDB_COUNTS,
            ),
            Protocol(
                "affectnet7@native",
                CLASS_ORDERS["affectnet7"],
                BEST_ON_VAL,
                monitor="mean_class_accuracy",
                test="val",
                note=_AFFECTNET_NOTE,
                holdout_fraction=0.02,
                expected=(Expected("train", "label", _AFFECTNET_TRAIN[:7]), Expected("val", "label", (500,) * 7)),
            ),
            Protocol(
                "affectnet8@native",
                CLASS_ORDERS["affectnet8"],
                BEST_ON_VAL,
                monitor="mean_class_accuracy",
                test="val",
                note=_AFFECTNET_NOTE,
                holdout_fraction=0.02,
                expected=(
                    Expected("train", "label", _AFFECTNET_TRAIN),
                    Expected("val", "label", 4000, AFFECTNET_CSV),
                    Expected("val", "label", 3999, AFFECTNET_NPY),
                ),
            ),
            _FERPLUS,
            replace(_FERPLUS, name="ferplus@argmax8", label_rule="argmax", target="argmax"),
            replace(
                _FERPLUS,
                name="ferplus@ran",
                train=("train", "val"),
                val=None,
                selection="last epoch",
                note="trained on train and validation together, so nothing is left to select on",
            ),
            replace(
                _FERPLUS,
                name="ferplus@dev",
                val="holdout",
                test="val",
                note="for development: the test set is not touched, figures are on Valid",
            ),
            Protocol("facs@native", CLASS_ORDERS["facs"], BEST_ON_VAL, val="val"),
            Protocol("folder@holdout", (), BEST_ON_VAL),
            Protocol("folder@native", (), BEST_ON_VAL, val="val"),
        )
    }
)


def protocols_of(dataset: str) -> tuple[str, ...]:
    """Return the names (without the dataset) of a dataset's protocols, the default first."""
    return tuple(name.partition("@")[2] for name in PROTOCOLS if name.partition("@")[0] == dataset)


def get_protocol(dataset: str, name: str | None = None) -> Protocol:
    """Look a protocol up.

    Args:
        dataset: e.g. ``"ferplus"``.
        name: e.g. ``"majority"`` (or ``"ferplus@majority"``); None: the dataset's default.

    Raises:
        UserError: where there is none, with the legal names.

    Example:
        >>> get_protocol("ferplus").name, get_protocol("rafdb", "paper").marked
        ('ferplus@majority', True)
    """
    legal = protocols_of(dataset)
    if not legal:
        datasets = dict.fromkeys(known.partition("@")[0] for known in PROTOCOLS)
        raise UserError(f"There are no protocols for a dataset called {dataset!r}: {nearest(dataset, datasets)}")
    short = legal[0] if name is None else name.removeprefix(f"{dataset}@")
    if short not in legal:
        raise UserError(
            f"dataset.protocol={name} is no protocol of {dataset}: {nearest(short, legal)} "
            f"(all of them: {', '.join(legal)})"
        )
    return PROTOCOLS[f"{dataset}@{short}"]
