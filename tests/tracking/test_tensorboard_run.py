"""`logger=tensorboard`: the event files contain curves, metrics, images and hyperparameters."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from commands.conftest import FACS, Mfer, mfer, only_run  # noqa: F401 - mfer is a fixture

from mfer_lightning.evaluation.metrics import evaluate
from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.tracking import names

pytest.importorskip("tensorboard")


def test_event_files_contain_curves_metrics_and_hyperparameters(mfer: Mfer, tmp_path: Path) -> None:  # noqa: F811
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert mfer(*FACS, "logger=tensorboard", "track_test=true", "evaluation.embedding_points=0") == 0
    run = only_run(tmp_path / "runs")
    result = json.loads((run / "result.json").read_text())
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"images": 0})
    events.Reload()
    tags = events.Tags()
    for name in (*names.CURVES, names.FEATURE_LOSS):
        assert len(events.Scalars(name)) == 2, name
    val = evaluate(Predictions.from_csv(run / "predictions_val.csv"))["metrics"]
    assert events.Scalars("selected/val/macro_f1")[-1].value == pytest.approx(val["macro_f1"])
    assert events.Scalars("test/accuracy")[-1].value == pytest.approx(result["metrics"]["accuracy"])
    assert [e.step for e in events.Scalars("track_test/accuracy")] == [0, 1], "must be logged after the run has ended"
    assert {*map(names.picture, names.FIGURES), names.EXAMPLE_GRID} <= set(tags["images"])
    assert "test/per_class/text_summary" in tags["tensors"]
    assert "_hparams_/session_start_info" in {str(k) for k in events.summary_metadata}
    stored = yaml.safe_load((run / "tensorboard" / "hparams.yaml").read_text())
    assert stored["optimizer"]["lr"] == result["config"]["optimizer"]["lr"]
