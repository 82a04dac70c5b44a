"""Required content of result.json, with all missing keys reported at once."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from mfer_lightning.evaluation.metrics import evaluate
from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.evaluation.schema import METRICS, SCHEMA_VERSION, Result, validate_result


def whole() -> dict[str, Any]:
    table = Predictions([0, 1, 2], ["a", "b", "c"], [0, 1, 1], np.eye(3)[[0, 1, 2]], ("anger", "fear", "joy"))
    return {
        "schema_version": SCHEMA_VERSION,
        "dataset": "folder",
        "protocol": "folder@holdout",
        "split": "test",
        "evaluation_set": "the folder test",
        **evaluate(table),
        "selection": {"rule": "best", "monitor": "val/accuracy", "split": "val", "epoch": 3, "value": 0.9},
        "seed": 0,
        "config": {},
        "cost": {},
        "git": None,
        "versions": {},
        "hardware": {},
    }


def test_evaluate_output_is_valid() -> None:
    result = whole()
    assert validate_result(result) is result
    assert set(METRICS) == set(result["metrics"])


@pytest.mark.parametrize("key", sorted(Result.__required_keys__))
def test_every_key_is_required(key: str) -> None:
    result = whole()
    del result[key]
    with pytest.raises(ValueError, match=f"{key} is missing"):
        validate_result(result)


def test_all_missing_keys_are_reported_at_once() -> None:
    with pytest.raises(ValueError, match=r"dataset is missing; .*metrics is missing; .*hardware is missing"):
        validate_result({"schema_version": SCHEMA_VERSION})


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("schema_version",), 2, "schema_version is 2, this version reads 1"),
        (("seed",), "0", "seed is of type str"),
        (("n",), True, "n is of type bool"),
        (("split",), "dev", "split is 'dev', legal: test, val, train"),
        (("protocol",), "folder", "expected <dataset>@<rule>"),
        (("class_names",), ["anger", "fear", "fear"], "class_names repeats"),
        (("metrics", "accuracy"), float("nan"), "metrics.accuracy is nan"),
        (("metrics", "accuracy"), "0.9", "metrics.accuracy is '0.9'"),
        (("n",), 4, "confusion sums to 3, n is 4"),
        (("confusion",), [[1, 2]], "confusion is not 3 x 3"),
        (("per_class",), {"anger": {}}, "per_class has"),
        (("per_class", "fear"), {"n": 2}, "per_class.fear lacks precision"),
        (("selection",), {"rule": "best"}, "selection.monitor is missing"),
        (("selection", "mode"), "maximum", "selection.mode is 'maximum', legal: max, min"),
        (("selection", "mode"), None, "selection.mode is None, legal: max, min"),
        (("metrics",), {"accuracy": 1.0}, "metrics.ece is missing"),
    ],
)
def test_contradictions_are_named(place: tuple[str, ...], value: object, message: str) -> None:
    result = copy.deepcopy(whole())
    target = result
    for key in place[:-1]:
        target = target[key]
    target[place[-1]] = value
    with pytest.raises(ValueError, match=message):
        validate_result(result)


def test_non_mapping_is_rejected() -> None:
    with pytest.raises(ValueError, match="expected a mapping, but got list"):
        validate_result([])  # type: ignore[arg-type]
