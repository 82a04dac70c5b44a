"""The LightningModule: joins preprocessing, network and objective for training, validation and prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import lightning as L
import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric, Metric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score, MulticlassRecall

from mfer_lightning.errors import UserError
from mfer_lightning.optim import Mixup, configured
from mfer_lightning.views import ONE_VIEW

#: Version of the ``mfer`` entry of a checkpoint.
CHECKPOINT_FORMAT = 1


def class_scores(logits: Tensor) -> Tensor:
    """Return logits (B,K) that torchmetrics does not read as probabilities, as it does where all lie within [0, 1]."""
    inside = ((logits >= 0) & (logits <= 1)).all()
    return torch.where(inside, logits.log_softmax(1), logits)


def build_metrics(num_classes: int, further: Mapping[str, Metric] | MetricCollection | None = None) -> MetricCollection:
    """Accuracy, mean-class accuracy (macro recall) and macro F1, as the field reports them, and further ones.

    Args:
        num_classes: K.
        further: name -> a metric of torchmetrics that takes logits (B,K) and labels (B,).

    Returns:
        A collection that takes logits (B,K) and labels (B,).

    Raises:
        ValueError: where a further metric has a name that is taken, or is none of torchmetrics.
    """
    metrics: dict[str, Metric | MetricCollection] = {
        "accuracy": MulticlassAccuracy(num_classes, average="micro", validate_args=False),
        "mean_class_accuracy": MulticlassRecall(num_classes, average="macro", validate_args=False),
        "macro_f1": MulticlassF1Score(num_classes, average="macro", validate_args=False),
    }
    for name, metric in (further or {}).items():
        if not isinstance(metric, Metric):
            raise ValueError(
                f"Expected argument `metrics` to hold metrics of torchmetrics, but got {metric!r} as `{name}`."
            )
        if name in (*metrics, "nll", "loss"):
            raise ValueError(f"Expected argument `metrics` to have names of its own, but got `{name}`, which is taken.")
        metrics[str(name)] = metric
    return MetricCollection(metrics)


class FERModule(L.LightningModule):
    """Trains a network on batches of aligned faces.

    Batches are dicts of ``image`` uint8 (B,3,H,W), ``label`` int64 (B,), ``target`` float32 (B,K), ``index`` int64 (B,)
    with -1 in rows that only pad a distributed evaluation.

    Args:
        network: maps normalised images (B,3,S,S) to ``feature``, ``logits`` and ``head_logits``.
        objective: maps the network's output and the target (B,K) to named loss terms, ``total`` among them.
        preprocess: maps uint8 images to normalised float images.
        class_names: the K emotions in the network's order.
        optimizer: options of :func:`mfer_lightning.optim.build_optimizer` and of the parameter groups (``name``,
            ``lr``, ``weight_decay``, ``head_lr_scale``, ``center_lr_scale``, ``layer_decay``, ...); None
            values are left out.
        scheduler: options of :func:`mfer_lightning.optim.build_schedule` (``name``, ``warmup_epochs``, ...), and for
            ``plateau`` of :func:`mfer_lightning.optim.build_plateau` with ``monitor``, a validation figure without
            ``val/``.
        mixup: mixes the faces of a training batch after preprocessing; None: no mixing.
        metadata: plain values stored in each checkpoint beside the weights (dataset, protocol, configuration).
        metrics: name -> a further metric of torchmetrics, on logits (B,K) and labels (B,), computed on val and test.
        channels_last: memory format of images and convolution weights.
        compile_network: run the network through ``torch.compile``.

    Example:
        >>> from mfer_lightning.losses import CrossEntropy, Objective
        >>> from mfer_lightning.nn import MFER, Preprocess
        >>> network = MFER({"name": "convnext_atto", "options": {"depths": [1, 1, 1, 1], "dims": [8, 16, 32, 64]}}, 2)
        >>> module = FERModule(network, Objective(CrossEntropy()), Preprocess(size=32), class_names=("sadness", "joy"))
        >>> module(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))["logits"].shape
        torch.Size([1, 2])
    """

    def __init__(
        self,
        network: nn.Module,
        objective: nn.Module,
        preprocess: nn.Module,
        *,
        class_names: Sequence[str],
        optimizer: Mapping[str, Any] | None = None,
        scheduler: Mapping[str, Any] | None = None,
        mixup: Mixup | None = None,
        metadata: Mapping[str, Any] | None = None,
        metrics: Mapping[str, Metric] | MetricCollection | None = None,
        channels_last: bool = True,
        compile_network: bool = False,
    ) -> None:
        super().__init__()
        if mixup is not None and getattr(getattr(objective, "classification", None), "target_kind", "") == "multi-hot":
            raise UserError("Mixup weighs classes and the multi-target loss takes sets of them: use mixup=none.")
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.network = network.to(memory_format=self.memory_format)
        self.objective = objective
        self.preprocess = preprocess
        self.class_names = tuple(class_names)
        self.optimizer_options = dict(optimizer or {"name": "adamw", "lr": 2.5e-4})
        self.scheduler_options = dict(scheduler or {"name": "constant"})
        self.mixup = mixup
        self.metadata = dict(metadata or {})
        self.views = ONE_VIEW  # of predict_step
        measured = build_metrics(len(self.class_names), metrics)
        self.further_metrics = tuple(metrics or ())
        # Looked up by the position of the evaluation loader: the second is the test set, with track_test only.
        self.evaluation_metrics = nn.ModuleList([measured.clone(prefix="val/"), measured.clone(prefix="track_test/")])
        self.validation_nll = MeanMetric()  # over faces, whatever ranks and batches they came in
        self.batch_index: Tensor | None = None
        self._sums: dict[str, Tensor] = {}
        self._seen = 0
        if compile_network:
            self.network.compile()  # in place: names in the state dict stay as they are

    def forward(self, image: Tensor) -> dict[str, Any]:
        """Run preprocessing and network.

        Args:
            image: uint8 (B,3,H,W), RGB.

        Returns:
            ``feature`` (B,D), ``logits`` (B,K), ``head_logits`` tuple of (B,K).
        """
        return self._network(self.preprocess(image))

    def _network(self, pixels: Tensor) -> dict[str, Any]:
        output: dict[str, Any] = self.network(pixels.contiguous(memory_format=self.memory_format))
        return output

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """Compute the loss of one batch; see :class:`mfer_lightning.losses.Objective` for its terms."""
        self.batch_index = batch["index"]
        mixed = {**batch, "image": self.preprocess(batch["image"])}
        if self.mixup is not None:
            step = self.current_epoch * int(self.trainer.num_training_batches) + batch_idx
            mixed = self.mixup(mixed, step=step, rank=self.global_rank)
        terms: dict[str, Tensor] = self.objective(self._network(mixed["image"]), mixed["target"])
        if getattr(self.trainer.optimizers[0], "perturbed", False):
            return terms["total"]  # the second pass of SAM, at another point: not to be counted
        n = len(batch["index"])
        for name, value in terms.items():
            self._sums[name] = self._sums.get(name, torch.zeros_like(value)) + value.detach() * n
        self._seen += n
        total = terms["total"]
        if self.trainer.progress_bar_callback is not None:  # nobody else looks at single steps
            self.log("loss", total.detach(), on_step=True, on_epoch=False, prog_bar=True, logger=False)
        return total

    def on_train_epoch_start(self) -> None:
        """Start the epoch's means anew."""
        self._sums, self._seen = {}, 0

    def train_means(self) -> dict[str, float]:
        """Means of the loss terms over the faces of this epoch so far, over all ranks, as ``train/<term>``."""
        means = {
            f"train/{'loss' if name == 'total' else name}": self.trainer.strategy.reduce(total / max(self._seen, 1))
            for name, total in self._sums.items()
        }
        return {name: float(value) for name, value in means.items()}

    def on_train_epoch_end(self) -> None:
        """Hand the epoch's means to the loggers."""
        self.log_dict(self.train_means())

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int, dataloader_idx: int = 0) -> None:
        """Update the metrics with one batch, leaving out the rows that only pad it."""
        output = self(batch["image"])
        keep = batch["index"] >= 0
        logits = output["logits"][keep].float()
        metrics = self.evaluation_metrics[dataloader_idx]
        scores = class_scores(logits) if self.further_metrics else logits
        metrics.update(scores, batch["label"][keep])  # type: ignore[operator]
        if dataloader_idx == 0 and keep.any():
            self.validation_nll.update(-(batch["target"][keep] * logits.log_softmax(1)).sum(1))

    def on_validation_epoch_end(self) -> None:
        """Log the metrics of each evaluation set; those of the test set are recorded and never shown."""
        for metrics in self.evaluation_metrics:
            if any(m.update_called for m in metrics.values()):  # type: ignore[operator]
                shown = metrics.prefix == "val/"
                self.log_dict(metrics.compute(), prog_bar=shown)  # type: ignore[operator]
                metrics.reset()  # type: ignore[operator]
        if self.validation_nll.update_called:
            self.log("val/nll", self.validation_nll.compute())
            self.validation_nll.reset()

    def predict_step(self, batch: dict[str, Tensor], batch_idx: int, dataloader_idx: int = 0) -> dict[str, Tensor]:
        """Return ``index`` (B,), ``logits`` (B,K) and ``feature`` (B,D) of one batch, computed in float32.

        Logits and feature are means over ``views``. On NVIDIA GPUs torch's convolutions round factors to TF32 unless
        told otherwise (``torch.backends.cudnn.allow_tf32``).
        """
        with torch.autocast(self.device.type, enabled=False):
            output = self.views.average(self._answers, batch["image"])
        return {"index": batch["index"], **output}

    def _answers(self, images: Tensor) -> dict[str, Tensor]:
        output = self(images)
        return {name: output[name].float() for name in ("logits", "feature")}

    def configure_optimizers(self) -> Any:
        """Build the optimiser over named parameter groups and the schedule, which steps with every optimiser step."""
        trainer = self.trainer
        trainer.fit_loop.setup_data()  # as estimated_stepping_batches does, unless the length is given in steps or time
        try:
            return configured(
                (self.network, self.objective),
                self.optimizer_options,
                self.scheduler_options,
                total_steps=trainer.estimated_stepping_batches,
                batches=trainer.num_training_batches,
                accumulate=trainer.accumulate_grad_batches,
                modes=self.modes(),
            )
        except (TypeError, ValueError) as error:
            raise UserError(f"optimizer or scheduler: {error}") from error

    def modes(self) -> dict[str, Literal["max", "min"]]:
        """Say of each validation figure whether more (``max``) or less (``min``) is better; others are left out."""
        figures = self.evaluation_metrics[0].items(keep_base=True)  # type: ignore[operator]
        better = {"nll": False, **{name: metric.higher_is_better for name, metric in figures}}
        return {name: "max" if more else "min" for name, more in better.items() if more is not None}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store what is needed to use the weights: network, preprocessing, class names, protocol, configuration."""
        checkpoint["mfer"] = {
            "format": CHECKPOINT_FORMAT,
            "class_names": list(self.class_names),
            "network": getattr(self.network, "config", None),
            "preprocess": self.preprocess.to_config(),  # type: ignore[operator]
            **self.metadata,
        }
