"""Metrics of torchmetrics by name: built, rejected, logged, reported, and used for selection and early stopping."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from commands.conftest import FEW, Mfer, only_run
from config.test_compose import composed
from hydra.core.hydra_config import HydraConfig
from sklearn.metrics import cohen_kappa_score, matthews_corrcoef, roc_auc_score

from mfer_lightning.config.location import choices
from mfer_lightning.data.datasets.registry import get_protocol
from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.predictions import PADDING, Predictions
from mfer_lightning.inference.checkpoint import read_checkpoint
from mfer_lightning.module import class_scores
from mfer_lightning.sweeps.identity import run_name
from mfer_lightning.training.checks import check_config
from mfer_lightning.training.checks.trial_build import build_on_trial
from mfer_lightning.training.further_metrics import (
    build_further_metrics,
    check_direction,
    further_figures,
    mode_of,
    selecting_monitor,
)

NAMES = ("a", "b", "c")


def table(scale: float = 1.0) -> Predictions:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 60)
    logits = (rng.normal(size=(60, 3)) + np.eye(3)[labels]) * scale
    return Predictions(np.arange(60), [f"{i}.png" for i in range(60)], labels, logits, NAMES)


def built(*overrides: str, classes: int = 3) -> dict[str, Any]:
    return build_further_metrics(composed(*overrides), classes)


def check_all(*overrides: str) -> None:
    config = composed(*overrides)
    check_config(config)
    build_on_trial(config)


@pytest.mark.parametrize("name", choices("metrics"))
def test_every_config_file_builds_its_metric_with_a_direction(name: str) -> None:
    (found,) = built(f"metrics={name}").items()
    assert found[0] == name
    assert isinstance(found[1].higher_is_better, bool)
    assert found[1].num_classes == 3


def test_no_metrics_by_default_and_run_names_are_unchanged() -> None:
    assert composed()["metrics"] == {}
    assert built() == {}
    assert run_name(composed("metrics=[kappa]")) != run_name(composed()) != run_name(composed("monitor=macro_f1"))


def test_values_match_scikit_learn() -> None:
    found = further_figures(built("metrics=[kappa,mcc,auroc]", "metrics.kappa.weights=quadratic"), table())
    t = table()
    assert found["kappa"] == pytest.approx(cohen_kappa_score(t.label, t.pred, weights="quadratic"), abs=1e-6)
    assert found["mcc"] == pytest.approx(matthews_corrcoef(t.label, t.pred), abs=1e-6)
    assert found["auroc"] == pytest.approx(roc_auc_score(t.label, t.probabilities, multi_class="ovr"), abs=1e-6)


def test_logits_between_zero_and_one_are_not_taken_for_probabilities() -> None:
    logits = torch.tensor([[0.1, 0.9], [0.2, 0.3]])
    torch.testing.assert_close(class_scores(logits).softmax(1), logits.softmax(1))
    assert class_scores(logits).max() < 0
    assert torch.equal(class_scores(logits * 2), logits * 2)


def test_padding_and_unlabelled_faces_are_ignored() -> None:
    whole = table()
    index, label = whole.index.copy(), whole.label.copy()
    index[:5], label[5:10] = PADDING, -1
    odd = Predictions(index, whole.path, label, whole.logits, NAMES)
    metrics = built("metrics=kappa")
    assert further_figures(metrics, odd) == further_figures(metrics, whole.select(np.arange(60) >= 10))


def test_undefined_metric_is_none() -> None:
    t = table().select(np.arange(60) == 0)
    found = further_figures(built("metrics=kappa"), Predictions(t.index, t.path, t.pred, t.logits, NAMES))
    assert found == {"kappa": None}


def test_metrics_can_be_added_changed_and_disabled_from_the_command_line() -> None:
    found = built(
        "metrics=[kappa,mcc]",
        "metrics.mcc=null",
        "metrics.kappa.weights=linear",
        "+metrics.top2._target_=torchmetrics.classification.MulticlassAccuracy",
        "+metrics.top2.top_k=2",
        "+metrics.top2.average=micro",
    )
    assert list(found) == ["kappa", "top2"]
    assert found["kappa"].weights == "linear"
    right = np.argsort(-table().logits)[:, :2] == table().label[:, None]
    assert further_figures(found, table())["top2"] == pytest.approx(right.any(1).mean(), abs=1e-6)


def test_torchmetrics_task_classes_are_supported() -> None:
    found = built(
        "+metrics.k._target_=torchmetrics.CohenKappa", "+metrics.k.task=multiclass", "+metrics.k.num_classes=3"
    )
    assert further_figures(found, table())["k"] == pytest.approx(cohen_kappa_score(table().label, table().pred))


X = "+metrics.x._target_="


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ((f"{X}os.system",), ("metrics.x", "os.system", "not")),
        ((f"{X}subprocess.Popen",), ("metrics.x", "subprocess.Popen")),
        ((f"{X}torchmetrics.functional.accuracy",), ("metrics.x", "torchmetrics.functional.accuracy")),
        ((f"{X}torchmetrics.classification.accuracy",), ("no such public class",)),
        ((f"{X}torchmetrics.image.FrechetInceptionDistance",), ("metrics.x", "torchmetrics.image")),
        ((f"{X}torchmetrics.metric._Metric",), ("metrics.x",)),
        ((f"{X}mfer_lightning.losses.CrossEntropy",), ("metrics.x", "is not a Metric")),
        ((f"{X}torchmetrics.MetricCollection",), ("metrics.x", "is not a Metric")),
        ((f"{X}torchmetrics.classification.MulticlassCohenKapa",), ("did you mean", "MulticlassCohenKappa")),
        ((f"{X}torchmetrics.MeanSquaredError",), ("metrics.x", "MeanSquaredError", "Multiclass")),
        ((f"{X}torchmetrics.classification.BinaryAccuracy",), ("BinaryAccuracy", "Multiclass")),
        ((f"{X}torchmetrics.classification.MulticlassConfusionMatrix",), ("more than one number",)),
        (("metrics=auroc", "metrics.auroc.average=none"), ("metrics.auroc", "average")),
        (("metrics=kappa", "metrics.kappa.weight=linear"), ("metrics.kappa", "`weight`", "weights")),
        (("metrics=kappa", "metrics.kappa.weights=cubic"), ("metrics.kappa", "cubic", "quadratic")),
        (("+metrics.kappa=3",), ("metrics.kappa=3", "_target_")),
        (
            ("+metrics.accuracy._target_=torchmetrics.classification.MulticlassCohenKappa",),
            ("metrics.accuracy", "name"),
        ),
        (("+metrics.ece._target_=torchmetrics.classification.MulticlassCohenKappa",), ("metrics.ece", "name")),
        (("monitor=kapa", "metrics=kappa"), ("monitor=kapa", "'kappa'")),
        (("monitor=kappa",), ("monitor=kappa", "accuracy", "metrics=[...]")),
        (("early_stopping=default", "early_stopping.monitor=kappa"), ("early_stopping.monitor=kappa", "metrics=")),
        (("scheduler=plateau", "scheduler.monitor=kappa"), ("scheduler.monitor=kappa", "metrics=")),
        (("dataset=ferplus", "dataset.protocol=ran", "monitor=accuracy"), ("last epoch", "monitor=accuracy")),
        (("dataset=ferplus", "dataset.protocol=ran", "scheduler=plateau"), ("last epoch", "plateau")),
    ],
)
def test_invalid_metrics_raise_one_clear_error(overrides: tuple[str, ...], words: tuple[str, ...]) -> None:
    with pytest.raises(UserError) as refused:
        check_all(*overrides)
    for word in words:
        assert word in str(refused.value)


def test_nested_class_must_be_a_metric() -> None:
    wrapped = (
        "+metrics.x._target_=torchmetrics.classification.MulticlassCohenKappa",
        "+metrics.x.weights._target_=mfer_lightning.losses.CrossEntropy",
    )
    with pytest.raises(UserError, match="not a Metric"):
        built(*wrapped)


def test_monitor_without_a_direction_is_rejected_with_the_reason() -> None:
    with pytest.raises(UserError, match=r"monitor=mine: .*they must set `higher_is_better`"):
        mode_of("monitor", "mine", {"nll": "min"})


def test_selection_uses_the_protocol_metric_unless_overridden() -> None:
    protocol = get_protocol("rafdb", "holdout")
    assert selecting_monitor({}, protocol) == protocol.monitor
    assert selecting_monitor({"monitor": "nll"}, protocol) == "nll"
    assert selecting_monitor({}, get_protocol("ferplus", "ran")) is None


def rows_of(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_run_logs_selects_and_stops_by_an_additional_metric(mfer: Mfer, tmp_path: Path) -> None:
    options = (*FEW, "metrics=[kappa,calibration_error]", "metrics.kappa.weights=quadratic", "trainer.max_epochs=4")
    stop = ("monitor=calibration_error", "early_stopping=default", "early_stopping.monitor=kappa")
    plateau = ("optimizer=lion", "scheduler=plateau", "scheduler.patience=0", "scheduler.warmup_steps=1")
    assert mfer(*options, *stop, *plateau) == 0
    run = only_run(tmp_path / "runs")
    result = json.loads((run / "result.json").read_text())
    with (run / "predictions_test.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = result["class_names"]
    truth, pred = ([names.index(row[k]) if row[k] in names else int(row[k]) for row in rows] for k in ("label", "pred"))
    assert result["metrics"]["kappa"] == pytest.approx(cohen_kappa_score(truth, pred, weights="quadratic"), abs=1e-6)
    curve = [float(row["val/calibration_error"]) for row in rows_of(run)]
    assert all(row["val/kappa"] for row in rows_of(run))
    assert result["selection"]["monitor"] == "calibration_error"
    assert result["selection"]["epoch"] == curve.index(min(curve))
    assert result["selection"]["value"] == pytest.approx(min(curve), abs=1e-6)
    state = read_checkpoint(run / "checkpoints" / "last.ckpt")["lr_schedulers"]
    assert len(state) == 2
    assert state[1]["last_epoch"] == 4  # stepped before the checkpoint of the last epoch
    assert state[1]["mode"] == "min"


def test_search_in_the_wrong_direction_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    searching = SimpleNamespace(sweeper={"direction": "maximize"})
    monkeypatch.setattr(HydraConfig, "initialized", lambda: True)
    monkeypatch.setattr(HydraConfig, "get", lambda: searching)
    check_direction("kappa", "max")
    with pytest.raises(UserError, match=r"worst nll\. Use hydra\.sweeper\.direction=minimize"):
        check_direction("nll", "min")
    searching.sweeper = {}
    check_direction("nll", "min")
