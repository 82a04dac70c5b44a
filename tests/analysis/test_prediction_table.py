"""A table of predictions is shown with the interval of its run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from reporting.fabricate import change, write_run

from mfer_lightning.analysis import prediction_table
from mfer_lightning.analysis.prediction_table import evaluate_predictions
from mfer_lightning.evaluation.intervals import wilson
from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.evaluation.share_interval import share_interval
from mfer_lightning.evaluation.uncertainty import metric_intervals
from mfer_lightning.files import digests
from mfer_lightning.inference.predict_split import write_features

BY_PERSON = [0.5, 0.9]


def test_interval_of_the_run_is_used_next_to_its_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(prediction_table, "draw_figures", lambda *_, **__: None)
    run = write_run(tmp_path, n=70, features=False)
    table = run / "predictions_test.csv"
    change(run, intervals={"accuracy": BY_PERSON}, files=digests(run, [table.name]))
    assert evaluate_predictions(table, tmp_path / "a").result["intervals"]["accuracy"] == BY_PERSON
    assert "50.00 to 90.00 (grouped)" in " ".join(capsys.readouterr().out.split())

    accuracy = json.loads((run / "result.json").read_text())["metrics"]["accuracy"]
    own = list(wilson(round(70 * accuracy), 70))
    change(run, files={table.name: "of another table"})
    assert evaluate_predictions(table, tmp_path / "b").result["intervals"]["accuracy"] == own
    assert f"{100 * own[0]:.2f} to {100 * own[1]:.2f} (Wilson)" in " ".join(capsys.readouterr().out.split())


def test_people_are_identified_from_the_features_next_to_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction_table, "draw_figures", lambda *_, **__: None)
    run = write_run(tmp_path, n=70, features=False)
    table, groups = Predictions.from_csv(run / "predictions_test.csv"), np.arange(70) // 7
    lists = {"first": table.path[:35].tolist()}
    features = np.zeros((70, 2), np.float32)
    found = []
    for group in (None, groups):
        write_features(run / "features_test.npz", table.index, features, table.label, group=group)
        found.append(evaluate_predictions(run / "predictions_test.csv", tmp_path / "out", lists=lists).result)
    assert found[1]["intervals"] == metric_intervals(table, groups)
    right = table.pred == table.label
    ends = [tuple(result["lists"]["first"]["subset"][end] for end in ("low", "high")) for result in found]
    assert ends == [share_interval(right[:35], table.label[:35], g) for g in (None, groups[:35])]
