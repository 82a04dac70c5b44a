"""Define and validate the schema of ``result.json``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, TypedDict, cast

from mfer_lightning.emotions import canonical
from mfer_lightning.errors import excerpt

SCHEMA_VERSION = 1

#: Splits that metrics are measured on. Metrics on ``val`` are selection metrics, because the checkpoint was selected on
#: these faces. Metrics on ``train`` show how well the network fits the training faces.
SPLITS = ("test", "val", "train")

#: Metrics of every result; ``kl_to_votes`` and ``cross_entropy_to_votes`` are added if votes or soft targets exist.
METRICS = (
    "accuracy", "mean_class_accuracy", "macro_f1", "weighted_f1", "top2_accuracy", "cohen_kappa", "nll", "brier", "ece",
)  # fmt: skip


class ClassFigures(TypedDict):
    """Metrics of one class; None if undefined (a class without samples has no recall)."""

    n: int
    precision: float | None
    recall: float | None
    f1: float | None


class Evaluation(TypedDict):
    """Result of :func:`mfer_lightning.evaluation.metrics.evaluate`."""

    class_names: list[str]
    n: int
    metrics: dict[str, float | None]
    per_class: dict[str, ClassFigures]
    confusion: list[list[int]]
    notes: list[str]


class AgreementFigures(TypedDict):
    """Accuracy on the faces whose most frequent answer has a share of the votes from ``low`` to below ``high``.

    The last bin also includes ``high``.
    """

    low: float
    high: float
    n: int
    accuracy: float
    interval: list[float]


class AnnotatorFigures(TypedDict):
    """Agreement of the annotators, if votes exist (:mod:`mfer_lightning.evaluation.agreement`)."""

    single_annotator: float
    fleiss_kappa: float | None
    by_agreement: list[AgreementFigures]


class _Selection(TypedDict):
    """Entries that all results have."""

    rule: str
    monitor: str | None
    split: str | None
    epoch: int | None
    value: float | None


class Selection(_Selection, total=False):
    """Which checkpoint was selected, how and on what."""

    mode: str  # max or min; only in results of training runs whose protocol selects an epoch, and not in older ones


class Uncertainty(TypedDict, total=False):
    """Additional entries of results with intervals; older results lack them.

    ``intervals`` are 95% intervals of ``metrics``, [low, high] each, None if undefined. ``lists`` exists only if ``mfer
    evaluate`` was given lists (:mod:`mfer_lightning.analysis.face_lists`). ``files`` contains the SHA-256 of the
    prediction tables next to the result. ``folds`` exists only for protocols with folds: ``fold``, the test fold, and
    ``of``, the number of folds. ``relabelled`` counts labels changed by the training method.
    """

    intervals: dict[str, list[float] | None]
    annotators: AnnotatorFigures | None
    lists: dict[str, Any]
    files: dict[str, str]
    folds: dict[str, int]
    relabelled: dict[str, int]


class Result(Evaluation, Uncertainty):
    """A complete ``result.json``."""

    schema_version: int
    dataset: str
    protocol: str
    split: str
    evaluation_set: str
    selection: Selection
    seed: int
    config: dict[str, Any]
    cost: dict[str, Any]
    git: dict[str, Any] | None
    versions: dict[str, Any]
    hardware: dict[str, Any]


#: Overall metrics between 0 and 1. Precision, recall and F1 of each class have the same range.
_SHARES = ("accuracy", "mean_class_accuracy", "macro_f1", "weighted_f1", "top2_accuracy")
_SHARE = (0.0, 1.0)
_LIST = (list, tuple)
_TYPES: dict[str, type | tuple[type, ...]] = {
    "schema_version": int, "dataset": str, "protocol": str, "split": str, "evaluation_set": str,
    "class_names": _LIST, "n": int, "metrics": Mapping, "per_class": Mapping, "confusion": _LIST, "notes": _LIST,
    "selection": Mapping, "seed": int, "config": Mapping, "cost": Mapping, "git": (Mapping, type(None)),
    "versions": Mapping, "hardware": Mapping,
}  # fmt: skip


def validate_result(result: Mapping[str, Any]) -> Result:
    """Check that a result is complete and consistent.

    Args:
        result: content read from a ``result.json``, or about to be written.

    Returns:
        The same object, typed.

    Raises:
        ValueError: with a list of what is missing or wrong.

    Example:
        >>> validate_result({"schema_version": 99})
        Traceback (most recent call last):
        ...
        ValueError: Not a result: schema_version is 99, this version reads 1.
    """
    if not isinstance(result, Mapping):
        raise ValueError(f"Not a result: expected a mapping, but got {type(result).__name__}.")
    version = result.get("schema_version")
    if version is not None and version != SCHEMA_VERSION:
        raise ValueError(f"Not a result: schema_version is {version}, this version reads {SCHEMA_VERSION}.")
    problems = [f"{key} is missing" for key in _TYPES if key not in result]
    for key, types in _TYPES.items():
        if key in result and (not isinstance(result[key], types) or isinstance(result[key], bool)):
            problems.append(f"{key} is of type {type(result[key]).__name__}")
    if not problems:
        problems = _disagreements(result)
    if problems:
        raise ValueError(f"Not a result: {'; '.join(problems)}.")
    return cast(Result, result)


def _disagreements(result: Mapping[str, Any]) -> list[str]:
    problems = []
    names = list(result["class_names"])
    if result["split"] not in SPLITS:
        problems.append(f"split is {result['split']!r}, legal: {', '.join(SPLITS)}")
    dataset, at, rule = result["protocol"].partition("@")
    if not (dataset and at and rule):
        problems.append(f"protocol is {result['protocol']!r}, expected <dataset>@<rule>")
    if not names or not all(isinstance(name, str) for name in names) or len(set(map(canonical, names))) != len(names):
        problems.append(f"class_names repeats a class or is empty: {names}")
    problems += [f"metrics.{name} is missing" for name in METRICS if name not in result["metrics"]]
    problems += [
        f"metrics.{name} is {excerpt(value)}"
        for name, value in result["metrics"].items()
        if value is not None and not _is_number(value, *_SHARE if name in _SHARES else ())
    ]
    problems += _intervals(result)
    if list(result["per_class"]) != names:
        problems.append(f"per_class has {list(result['per_class'])}, class_names {names}")
    else:
        problems += [
            f"per_class.{name} lacks {figure}"
            for name, figures in result["per_class"].items()
            for figure in ClassFigures.__annotations__
            if figure not in figures
        ]
        problems += [
            f"per_class.{name}.{figure} is {excerpt(figures[figure])}"
            for name, figures in result["per_class"].items()
            for figure in ClassFigures.__annotations__
            if figure in figures and not _is_class_figure(figure, figures[figure])
        ]
    rows = [list(row) for row in result["confusion"]]
    if [len(row) for row in rows] != [len(names)] * len(names):
        problems.append(f"confusion is not {len(names)} x {len(names)}")
    elif not all(_is_count(count) for row in rows for count in row):
        problems.append("confusion contains values that are not counts")
    elif sum(map(sum, rows)) != result["n"]:
        problems.append(f"confusion sums to {sum(map(sum, rows))}, n is {result['n']}")
    problems += [f"selection.{key} is missing" for key in Selection.__required_keys__ if key not in result["selection"]]
    return problems + _odd_numbers(result)


def _odd_numbers(result: Mapping[str, Any]) -> list[str]:
    """Check the values of ``selection`` and ``cost``."""
    selection = result["selection"]
    legal: dict[str, Any] = {
        "rule": str,
        "monitor": (str, type(None)),
        "split": (str, type(None)),
        "epoch": (int, type(None)),
    }
    problems = [
        f"selection.{key} is {excerpt(selection[key])}"
        for key, types in legal.items()
        if key in selection and not isinstance(selection[key], types)
    ]
    if selection.get("mode", "max") not in ("max", "min"):
        problems.append(f"selection.mode is {excerpt(selection['mode'])}, legal: max, min")
    if selection.get("value") is not None and not _is_number(selection["value"]):
        problems.append(f"selection.value is {excerpt(selection['value'])}")
    return problems + [
        f"cost.{name} is {excerpt(value)}"
        for name, value in result["cost"].items()
        if isinstance(value, (int, float)) and not _is_number(value)
    ]


def _is_number(value: Any, low: float = -sys.float_info.max, high: float = sys.float_info.max) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53


def _is_class_figure(name: str, value: Any) -> bool:
    return _is_count(value) if name == "n" else value is None or _is_number(value, *_SHARE)


def _intervals(result: Mapping[str, Any]) -> list[str]:
    """Check the intervals of a result, if it has them."""
    intervals = result.get("intervals", {})
    if not isinstance(intervals, Mapping):
        return [f"intervals is of type {type(intervals).__name__}"]
    problems = []
    for name, ends in intervals.items():
        if ends is None:
            continue
        numbers = isinstance(ends, (list, tuple)) and all(
            isinstance(end, (int, float)) and not isinstance(end, bool) for end in ends
        )
        if not numbers or len(ends) != 2 or not ends[0] <= ends[1]:
            problems.append(f"intervals.{name} is {ends!r}")
    return problems
