"""Terminal output for a robustness card."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from rich.console import Console

from mfer_lightning.reporting.terminal.robustness import describe_batch, print_robustness

POINT = {"n": 50, "accuracy": 0.8, "low": 0.7, "high": 0.9, "mean_class_accuracy": 0.7, "severity": 1, "amount": 64}
BATCH = {
    "passes": False,
    "tolerance": 1e-3,
    "shuffled": {"n": 50, "largest_difference": 0.3, "changed": 4},
    "alone": {"n": 20, "largest_difference": 0.9, "changed": 11},
    "suspects": ["backbone.bn1"],
}


def said(**changes: Any) -> str:
    ends = {"value": 0.6, "low": 0.5, "high": 0.7}
    card = {
        "protocol": "facs@native",
        "split": "test",
        "evaluation_set": "all of test",
        "n": 50,
        "clean": POINT,
        "curves": {"resolution": {"group": "resolution", "unit": "", "points": [POINT, {**POINT, "accuracy": 0.5}]}},
        "summary": {"resolution": {"kinds": ["resolution"], "whole": True, "accuracy": ends, "relative": None}},
        "flip": {"equal": 0.9, "total_variation": 0.05},
        "batch": BATCH,
        "lists": {"[pose]": {"subset": POINT, "rest": None}},
        "notes": ["quick: [some] faces"],
        **changes,
    }
    out = io.StringIO()
    print_robustness(card, Path("somewhere"), Console(file=out, width=80))
    return out.getvalue()


def test_output_fits_into_80_columns() -> None:
    text = said()
    assert max(map(len, text.splitlines())) <= 80
    for words in (
        "resolution (64, 64 px)",
        "65.0",
        "15.0",
        "80.0% (70.0 to 90.0)",
        "[pose]: ",
        "quick: [some] faces",
        "–",
    ):
        assert words in text, words


def test_dependence_on_the_batch_is_reported() -> None:
    words = describe_batch(BATCH)
    assert "FAILS" in words
    assert "4 of 50 change" in words
    assert "11 of 20" in words
    assert "backbone.bn1" in words
    assert "FAILS" in said()
    assert "FAILS" not in said(batch=None)


def test_card_without_curves_is_printed() -> None:
    assert "mirrored: 90.0%" in said(curves={}, summary={}, lists={})
