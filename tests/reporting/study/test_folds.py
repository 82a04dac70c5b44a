"""The runs of a cross-validation are joined into one result per seed; folds are never treated as seeds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from reporting.fabricate import change, predictions, write_run
from scipy import stats

from mfer_lightning.evaluation.metrics import evaluate
from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.evaluation.runs import find_results
from mfer_lightning.evaluation.statistics.folds import fold_intervals, join_predictions
from mfer_lightning.reporting.study.folds import JoinedRun, fold_table, join_folds, join_rows
from mfer_lightning.reporting.study.method_tables import main_table
from mfer_lightning.reporting.study.runs import Run, open_runs
from mfer_lightning.reporting.study.sections import make_sections

NAMES = ("anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise")
#: Faces and correct predictions of each fold.
FACES, RIGHT = (40, 60, 50), (30, 50, 40)


def write_folds(parent: Path, loss: str = "ce", seed: int = 0, folds: tuple[int, ...] = (0, 1, 2)) -> list[Path]:
    """Write one run per fold, each on its own faces; the first RIGHT[fold] - seed of them are classified correctly."""
    written = []
    for fold in folds:
        n, first = FACES[fold], sum(FACES[:fold])
        label = np.arange(n) % 7
        said = np.where(np.arange(n) < RIGHT[fold] - seed, label, (label + 1) % 7)
        table = Predictions(
            np.arange(first, first + n), [f"f{first + i}" for i in range(n)], label, 3.0 * np.eye(7)[said], NAMES
        )
        run = write_run(
            parent, loss, seed=seed, n=n, protocol="ckplus@kfold10", class_names=NAMES, features=False,
            changes={"dataset.fold": fold}, name=f"ckplus-{loss}-s{seed}-f{fold}",
        )  # fmt: skip
        table.to_csv(run / "predictions_test.csv")
        change(
            run, **{**evaluate(table), "notes": ["the same for all", f"fold {fold}"]},
            folds={"fold": fold, "of": 3}, evaluation_set=f"fold {fold} of 3",
        )  # fmt: skip
        written.append(run)
    return written


def opened(*places: Path) -> list[Run]:
    return open_runs(find_results(places).results)[0]


def test_joined_metric_and_interval_match_values_computed_by_hand(tmp_path: Path) -> None:
    write_folds(tmp_path)
    (joined,) = join_folds(opened(tmp_path))
    assert isinstance(joined, JoinedRun)
    assert joined.result["n"] == 150
    assert joined.metric("accuracy") == pytest.approx(120 / 150)
    assert [fold.metric("accuracy") for fold in joined.folds] == pytest.approx([0.75, 5 / 6, 0.8])
    without = np.array([90 / 110, 70 / 90, 80 / 100])
    half = stats.t.ppf(0.975, 2) * np.sqrt(2 / 3 * ((without - without.mean()) ** 2).sum())
    assert joined.result["intervals"]["accuracy"] == pytest.approx([0.8 - half, 0.8 + half])
    assert joined.result["cost"]["seconds"] == 180
    assert joined.result["evaluation_set"] == "all 3 folds by subject, joined"
    assert joined.result["notes"] == ["the same for all", "fold 0", "fold 1", "fold 2"]


def test_section_has_joined_folds_as_seeds_and_a_fold_table(tmp_path: Path) -> None:
    for loss in ("ce", "dsf"):
        for seed in range(2):
            write_folds(tmp_path, loss, seed)
    sections, left_out = make_sections(join_folds(opened(tmp_path)))
    assert not left_out
    (section,) = sections
    assert [(m.label, m.seeds) for m in section.methods] == [("loss=ce", 2), ("loss=dsf", 2)]
    table = fold_table(section)
    assert table is not None
    assert table.data[0]["folds"] == 3
    assert table.data[0]["accuracy"] == pytest.approx((120 + 117) / 300)
    assert table.data[0]["lowest"] == pytest.approx(29 / 40)
    assert any("so the tests report differences too often" in note for note in section.notes)


def test_interval_of_one_seed_is_over_folds(tmp_path: Path) -> None:
    write_folds(tmp_path)
    (section,), _ = make_sections(join_folds(opened(tmp_path)))
    cell = next(c for c in main_table(section, "accuracy").rows[0] if " to " in c.text)
    assert cell.below == "over folds"
    assert fold_table(section).rows[0][3].text in cell.text


def test_folds_are_joined_only_if_complete(tmp_path: Path) -> None:
    write_folds(tmp_path, folds=(0, 2))
    runs = join_folds(opened(tmp_path))
    assert not any(isinstance(run, JoinedRun) for run in runs)
    sections, _ = make_sections(runs)
    assert len(sections) == 2  # each on its own faces, and not counted as seeds
    assert all(section.methods[0].seeds == 1 for section in sections)
    assert fold_table(sections[0]) is None


def test_other_runs_are_unchanged(tmp_path: Path) -> None:
    write_run(tmp_path, "ce", n=70, features=False)
    runs = opened(tmp_path)
    assert join_folds(runs) == runs


def test_sweep_table_joins_folds_too(tmp_path: Path) -> None:
    places = [run for seed in range(2) for run in write_folds(tmp_path, seed=seed)]
    rows = [
        {
            "dataset.fold": str(i % 3),
            "seed": str(i // 3),
            "status": "done",
            "result": json.loads((run / "result.json").read_text()),
            "error": None,
        }
        for i, run in enumerate(places)
    ]
    joined = join_rows(rows, [str(run) for run in places])
    assert [(row["seed"], row["result"]["n"], "dataset.fold" in row) for row in joined] == [
        ("0", 150, False), ("1", 150, False),
    ]  # fmt: skip
    failed = [{**rows[0], "result": None, "error": "no"}, *rows[1:]]
    assert len(join_rows(failed, [str(run) for run in places])) == 4  # the first seed is not complete


def test_face_in_two_folds_is_rejected() -> None:
    table = predictions(NAMES, 20, 0.8, 0)
    with pytest.raises(ValueError, match="test every face once"):
        join_predictions([table, table])
    with pytest.raises(ValueError, match="at least two tables"):
        fold_intervals([table])
