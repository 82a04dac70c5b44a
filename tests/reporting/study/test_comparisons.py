"""Verdicts: true differences are found, others are not, and a lack of seeds is reported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from reporting.fabricate import write_run

from mfer_lightning.evaluation.runs import find_results
from mfer_lightning.evaluation.statistics import compare_against_baseline
from mfer_lightning.reporting.study.comparisons import compare, points, signed
from mfer_lightning.reporting.study.runs import open_runs
from mfer_lightning.reporting.study.sections import Section, make_sections


def compared(folder: Path) -> tuple[Section, list[str]]:
    section = make_sections(open_runs(find_results([folder]).results)[0])[0][0]
    return section, compare(section, "accuracy")


def test_true_differences_are_found(study: Path) -> None:
    """Attention improves accuracy, the loss does not (see conftest)."""
    section, told = compared(study)
    verdicts = {label: c.verdict for label, c in section.comparisons.items()}
    assert verdicts == {
        "loss=ce, attention=ds": "better", "loss=dsf, attention=none": "tie", "loss=dsf, attention=ds": "better"
    }  # fmt: skip
    assert told[0].startswith("Better than the baseline: loss=ce, attention=ds (+")
    assert told[1].startswith("No difference from the baseline could be shown: loss=dsf, attention=none")
    assert "with 80% power" in told[1]
    best, other = sorted((c for c in verdicts if "attention=ds" in c), key=lambda c: f" {c} (" not in told[2])
    assert told[2].startswith(f"The highest mean is that of {best} (")
    assert f"Not significantly different from it: {other}. Significantly worse, 2 of the other 3: loss=" in told[2]
    assert "attention=none; loss=" in told[2]


def test_comparison_matches_the_statistics_module(study: Path) -> None:
    section, _ = compared(study)
    correct = {m.label: np.stack([r.table.pred == r.table.label for r in m.runs if r.table]) for m in section.methods}
    expected = compare_against_baseline(correct, "loss=ce, attention=none")
    assert list(section.comparisons.values()) == expected


def test_too_few_seeds_are_undecided(tmp_path: Path) -> None:
    write_run(tmp_path, accuracy=0.4)
    write_run(tmp_path, "dsf", accuracy=0.9)
    section, told = compared(tmp_path)
    assert section.comparisons["loss=dsf"].verdict == "undecided"
    assert len(told) == 1
    assert "3 seeds of each method" in told[0]


def test_different_test_faces_are_not_compared_with_a_note(tmp_path: Path) -> None:
    write_run(tmp_path)
    run = write_run(tmp_path, "dsf")
    table = run / "predictions_test.csv"
    table.write_text(table.read_text().replace("test/0000", "test/9000"))
    section, told = compared(tmp_path)
    assert told == []
    assert not section.comparisons
    assert "not measured on the same faces" in section.notes[-1]


@pytest.mark.parametrize(("share", "words"), [(0.1, "+10.00"), (-0.00001, "0.00"), (-0.031, "−3.10")])
def test_differences_have_a_sign(share: float, words: str) -> None:
    assert signed(share) == words
    assert points(0.0349) == "3.5"
