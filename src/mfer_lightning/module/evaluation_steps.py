"""Validation, test and prediction steps of a module, with their metrics and logging."""

from __future__ import annotations

from typing import Any, Literal

import lightning as L
import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torchmetrics import MetricCollection

from mfer_lightning.data.datasets.base import FaceDataModule
from mfer_lightning.losses import Objective
from mfer_lightning.methods import Method
from mfer_lightning.module.kept_network import choose
from mfer_lightning.module.meet_datamodule import check_batch
from mfer_lightning.module.metrics import VALENCE_AROUSAL_MODES, EvaluationMetrics
from mfer_lightning.nn.valence_arousal import PREDICTED, VALENCE_AROUSAL
from mfer_lightning.views import ONE_VIEW, Views

#: Suffix of the names of a second network's evaluations, e.g. ``val@second``.
RIVAL = "@second"


class EvaluationSteps(L.LightningModule):
    """Evaluation steps of :class:`~mfer_lightning.module.FERModule`.

    Args:
        metrics: metrics from :func:`~mfer_lightning.module.build_metrics`, computed on val and test.
    """

    network: nn.Module
    method: Method
    objective: nn.Module
    preprocess: nn.Module
    memory_format: torch.memory_format

    def __init__(self, metrics: MetricCollection) -> None:
        super().__init__()
        self.metrics = metrics
        self.views: Views = ONE_VIEW  # for test_step and predict_step
        self.evaluations = nn.ModuleDict()  # name -> EvaluationMetrics, created on first use
        self._measured: list[str] = []  # names in `evaluations` that the current evaluation has updated

    def forward(self, image: Tensor) -> dict[str, Any]:
        """Run the preprocessing and the network.

        Args:
            image: uint8 (B,3,H,W), RGB.

        Returns:
            ``feature`` (B,D), ``logits`` (B,K), ``head_logits`` tuple of (B,K).
        """
        return self._run(self.network, image)

    def _run(self, network: nn.Module, image: Tensor) -> dict[str, Any]:
        output: dict[str, Any] = network(self.preprocess(image).contiguous(memory_format=self.memory_format))
        return output

    def on_validation_epoch_start(self) -> None:
        """Reset the metrics of all evaluation sets."""
        self._start_evaluation()

    def on_test_epoch_start(self) -> None:
        """Reset the metrics of all evaluation sets."""
        self._start_evaluation()

    def modes(self) -> dict[str, Literal["max", "min"]]:
        """Map each validation metric to ``max`` if higher values are better, or to ``min`` if lower values are better.

        Metrics without a preferred direction are omitted.
        """
        better = {"nll": False, **{name: metric.higher_is_better for name, metric in self.metrics.items()}}
        if VALENCE_AROUSAL in getattr(self.network, "outputs", ()):
            better |= VALENCE_AROUSAL_MODES
        return {name: "max" if more else "min" for name, more in better.items() if more is not None}

    def _start_evaluation(self) -> None:
        # Not at the end: `trainer.validate` runs in inference mode, and training cannot modify tensors created there.
        self._measured = []
        for evaluation in self.evaluations.values():
            evaluation.reset()  # type: ignore[operator]

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int, dataloader_idx: int = 0) -> None:
        """Update the metrics with one batch, ignoring padding rows.

        When training with two networks of which one is kept, both are evaluated.
        """
        check_batch(batch, "image", "index", "label", "target")
        self._validate(batch, self(batch["image"]), dataloader_idx)
        if (rival := self._rival()) is not None:
            self._validate(batch, self._run(rival, batch["image"]), dataloader_idx, RIVAL)

    def _rival(self) -> nn.Module | None:
        return self.method.rival if self.trainer.state.fn == TrainerFn.FITTING else None

    def _validate(
        self, batch: dict[str, Tensor], output: dict[str, Any], dataloader_idx: int, suffix: str = ""
    ) -> None:
        keep = batch["index"] >= 0
        kept = {name: _rows(value, keep) for name, value in output.items() if name != "map"}
        kept["logits"] = kept["logits"].float()
        target = batch["target"][keep]
        nll = -(target * kept["logits"].log_softmax(1)).sum(1)
        loss = self._evaluation_loss(kept, target) if len(target) else None
        evaluation = self._evaluation("val", dataloader_idx, suffix)
        evaluation.update(kept["logits"], batch["label"][keep], nll, loss)
        if VALENCE_AROUSAL in output and VALENCE_AROUSAL in batch:
            evaluation.update_valence_arousal(output[VALENCE_AROUSAL][keep].float(), batch[VALENCE_AROUSAL][keep])

    def _evaluation_loss(self, output: dict[str, Any], target: Tensor) -> Tensor:
        if isinstance(self.objective, Objective):
            return self.objective.evaluate(output, target)
        total: Tensor = self.objective(output, target)["total"]
        return total

    def test_step(self, batch: dict[str, Tensor], batch_idx: int, dataloader_idx: int = 0) -> None:
        """Update the metrics with one batch, predicted as in :meth:`predict_step`."""
        check_batch(batch, "image", "index", "label")
        output = self.predict_step(batch, batch_idx, dataloader_idx)
        keep = batch["index"] >= 0
        logits, label = output["logits"][keep], batch["label"][keep]
        nll = nn.functional.cross_entropy(logits, label, reduction="none")
        evaluation = self._evaluation("test", dataloader_idx)
        evaluation.update(logits, label, nll, None)
        if VALENCE_AROUSAL in output and VALENCE_AROUSAL in batch:
            evaluation.update_valence_arousal(output[VALENCE_AROUSAL][keep], batch[VALENCE_AROUSAL][keep])

    def _evaluation(self, stage: Literal["val", "test"], dataloader_idx: int, suffix: str = "") -> EvaluationMetrics:
        """Return the metrics of an evaluation loader.

        With several loaders, names follow Lightning's convention, or are ``val`` and ``track_test``.
        """
        loaders = self.trainer.num_val_batches if stage == "val" else self.trainer.num_test_batches
        name, prefix, postfix = str(stage), f"{stage}/", ""
        if len(loaders) > 1:
            if stage == "val" and getattr(self.datamodule_of_ours, "track_test", False):
                name, prefix = ("val", "val/") if dataloader_idx == 0 else ("track_test", "track_test/")
            else:
                postfix = f"/dataloader_idx_{dataloader_idx}"
                name += postfix
        name += suffix
        if name not in self.evaluations:
            means = {"val": ("nll", "loss"), "test": ("nll",)}.get(prefix[:-1], ())
            self.evaluations[name] = EvaluationMetrics(self.metrics, prefix, postfix, means).to(self.device).train()
        if name not in self._measured:
            self._measured.append(name)
        evaluation = self.evaluations[name]
        assert isinstance(evaluation, EvaluationMetrics)
        return evaluation

    def on_validation_epoch_end(self) -> None:
        """Log the metrics of each evaluation set; the progress bar shows only the accuracy on val."""
        self._log_evaluation()

    def on_test_epoch_end(self) -> None:
        """Log the metrics of each test set."""
        self._log_evaluation()

    def _log_evaluation(self) -> None:
        measured = {name: self.evaluations[name].compute() for name in self._measured}  # type: ignore[operator]
        if rivals := {name: measured.pop(name) for name in self._measured if name.endswith(RIVAL)}:
            self._keep_the_better(measured, rivals)
        for figures in measured.values():
            if "val/accuracy" in figures:
                self.log("val/accuracy", figures.pop("val/accuracy"), prog_bar=True)
            self.log_dict(figures, add_dataloader_idx=False)

    def _keep_the_better(self, measured: dict[str, dict[str, Any]], rivals: dict[str, dict[str, Any]]) -> None:
        """Use the metrics of the better network as those of the epoch, and log the val metrics of both."""
        monitor = getattr(self.trainer.checkpoint_callback, "monitor", None)
        monitor = monitor if monitor in measured["val"] else "val/accuracy"
        both = (measured["val"], rivals[f"val{RIVAL}"])
        better = self.modes().get(monitor.removeprefix("val/"), "min")  # the default is for val/loss
        if choose(self.method, both[0][monitor], both[1][monitor], better):
            for name in measured:
                measured[name] = rivals[f"{name}{RIVAL}"]
        for place, figures in zip(("first", "second"), both, strict=True):
            self.log_dict({name.replace("val/", f"val/{place}_"): value for name, value in figures.items()})
        self.log("val/kept", self.method.kept.float() + 1)  # type: ignore[operator]

    def predict_step(self, batch: dict[str, Tensor], batch_idx: int, dataloader_idx: int = 0) -> dict[str, Tensor]:
        """Return ``index`` (B,), ``logits`` (B,K) and ``feature`` (B,D) of one batch, computed in float32.

        If the network predicts valence and arousal, also ``valence_arousal`` (B,2). All values are means over
        ``views``. On NVIDIA GPUs, torch's convolutions round their inputs to TF32 unless this is disabled
        (``torch.backends.cudnn.allow_tf32``).
        """
        check_batch(batch, "image", "index")
        with torch.autocast(self.device.type, enabled=False):
            output = self.views.average(self._answers, batch["image"])
        return {"index": batch["index"], **output}

    def _answers(self, images: Tensor) -> dict[str, Tensor]:
        output = self(images)
        return {name: output[name].float() for name in PREDICTED if name in output}

    @property
    def datamodule_of_ours(self) -> FaceDataModule | None:
        """The datamodule of this module's Trainer, if it is a ``FaceDataModule``."""
        datamodule = self.trainer.datamodule  # type: ignore[attr-defined]
        return datamodule if isinstance(datamodule, FaceDataModule) else None


def _rows(value: Any, keep: Tensor) -> Any:
    """Select rows of an output of the network, or of each of several outputs."""
    return value[keep] if isinstance(value, Tensor) else tuple(part[keep] for part in value)
