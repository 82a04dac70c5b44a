"""Validate, test and predict in any order, with metrics confirmed by a loop over the faces."""

from __future__ import annotations

import pytest
import torch
from own_trainer.conftest import facs
from torch.utils.data import DataLoader
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAUROC, MulticlassCohenKappa

from mfer_lightning.losses import CrossEntropy, MetricLearningLoss, Objective


def reference(module, faces, split):
    """Accuracy, negative log-likelihood and loss, face by face."""
    faces.setup()
    module.eval()
    right, nll, losses = [], [], []
    for batch in faces.predict_dataloader(split):
        for i in range(len(batch["label"])):
            with torch.no_grad():
                output = module(batch["image"][i : i + 1])
                losses.append(module.objective(output, batch["target"][i : i + 1])["total"].item())
            log_p = output["logits"][0].log_softmax(0)
            right.append(int(log_p.argmax()) == int(batch["label"][i]))
            nll.append(-log_p[batch["label"][i]].item())
    return [sum(values) / len(values) for values in (right, nll, losses)]


def test_validate_and_test_match_a_loop_over_the_faces(make, faces, trainer):
    module, run = make(), trainer()
    (val,), (test,) = (each(module, datamodule=faces, verbose=False) for each in (run.validate, run.test))
    names = {"accuracy", "mean_class_accuracy", "macro_f1", "nll"}
    assert val.keys() == {f"val/{name}" for name in (*names, "loss")}
    assert test.keys() == {f"test/{name}" for name in names}  # test metrics are never named `val`, and vice versa
    accuracy, nll, loss = reference(module, faces, "val")
    assert (val["val/accuracy"], val["val/nll"]) == (pytest.approx(accuracy), pytest.approx(nll, rel=1e-5))
    assert val["val/loss"] == pytest.approx(loss, rel=1e-4)
    accuracy, nll, _ = reference(module, faces, "test")
    assert (test["test/accuracy"], test["test/nll"]) == (pytest.approx(accuracy), pytest.approx(nll, rel=1e-5))


@pytest.mark.parametrize("first", ["validate", "test", "predict"])
def test_fit_can_precede_and_follow_every_other_call(make, faces, trainer, first):
    # Lightning evaluates in inference mode, and training cannot modify tensors created there.
    module, run = make(), trainer(max_epochs=1)
    getattr(run, first)(module, datamodule=faces)
    run.fit(module, datamodule=faces)
    getattr(run, first)(module, datamodule=faces)
    again = trainer()
    again.fit(module, datamodule=faces)
    assert again.callback_metrics.keys() >= {"val/accuracy", "val/loss", "train/loss"}


def test_repeated_evaluation_resets_the_metrics(make, faces, trainer):
    module, run = make(), trainer()
    assert len({str(run.test(module, datamodule=faces, verbose=False)) for _ in range(2)}) == 1


def test_predict_returns_each_test_face_once(make, faces, trainer):
    batches = trainer().predict(make(), datamodule=faces)
    rows = torch.cat([batch["index"] for batch in batches]).tolist()
    assert sorted(rows) == sorted(faces.splits.test.rows.tolist())
    assert batches[0]["logits"].shape[1] == 8


def test_additional_metrics_are_computed_on_val_and_test(make, faces, trainer):
    module = make(metrics={"kappa": MulticlassCohenKappa(8), "auroc": MulticlassAUROC(8)})
    run = trainer()
    (val,), (test,) = (each(module, datamodule=faces, verbose=False) for each in (run.validate, run.test))
    assert val.keys() >= {"val/kappa", "val/auroc"}
    assert test.keys() >= {"test/kappa", "test/auroc"}


@pytest.mark.parametrize(
    ("metrics", "message"),
    [({"nll": MulticlassCohenKappa(8)}, "names that are not in use, but got `nll`"), ({"a": len}, "metrics")],
)
def test_invalid_metrics_raise_value_error(make, metrics: dict[str, Metric], message):
    with pytest.raises(ValueError, match=message):
        make(metrics=metrics)


def test_several_loaders_use_lightning_metric_names(make, faces, trainer):
    faces.setup()
    loaders = [DataLoader(faces.val_dataset, batch_size=8, collate_fn=lambda batch: batch) for _ in range(2)]
    figures = trainer().validate(make(), dataloaders=loaders, verbose=False)
    assert {name for loader in figures for name in loader} >= {
        "val/accuracy/dataloader_idx_0",
        "val/accuracy/dataloader_idx_1",
    }


def test_tracked_test_set_is_logged_separately_from_val(make, trainer):
    figures = trainer().validate(make(), datamodule=facs(track_test=True), verbose=False)
    assert {name for loader in figures for name in loader} == {
        *("val/accuracy", "val/mean_class_accuracy", "val/macro_f1", "val/nll", "val/loss"),
        *("track_test/accuracy", "track_test/mean_class_accuracy", "track_test/macro_f1"),
    }


def test_pair_losses_are_excluded_from_the_validation_loss(make, trainer):
    pytest.importorskip("pytorch_metric_learning")
    soft = facs(target="crossentropy")  # targets that pair losses reject
    pairs = Objective(CrossEntropy(0.1), MetricLearningLoss(8, 32, "supcon"), feature_weight=10.0)
    with_pairs = trainer().validate(make(objective=pairs), datamodule=soft, verbose=False)
    without = trainer().validate(make(objective=Objective(CrossEntropy(0.1))), datamodule=soft, verbose=False)
    assert with_pairs == without
