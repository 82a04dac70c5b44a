"""The LightningModule: combines preprocessing, network and objective for training, validation and prediction."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch.callbacks import Callback, RichProgressBar
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection

from mfer_lightning.checkpoints.read import read_checkpoint
from mfer_lightning.checkpoints.rebuild import unlike_attention
from mfer_lightning.config.instantiate import keyword_parameters
from mfer_lightning.errors import UserError
from mfer_lightning.losses import Objective, describe_objective
from mfer_lightning.memory import keep_freed_memory
from mfer_lightning.methods import Baseline, Method, describe_method
from mfer_lightning.module.arguments import config_of, options_of
from mfer_lightning.module.kept_network import exchange
from mfer_lightning.module.meet_datamodule import check_classes, check_loaders, complete_preprocess, learn
from mfer_lightning.module.metrics import build_metrics
from mfer_lightning.module.progress_bar import FERProgressBar
from mfer_lightning.module.rebuild import StoredArguments
from mfer_lightning.module.resumed_epoch import read_resumed_epoch
from mfer_lightning.module.training_steps import TrainingSteps
from mfer_lightning.module.valence_arousal import check_outputs, check_valence_arousal, learns_valence_arousal
from mfer_lightning.nn.adapter import SCALE, merge_adapter
from mfer_lightning.nn.weights.checksums import check_storages
from mfer_lightning.optim import Mixup, configured
from mfer_lightning.views import Views

if TYPE_CHECKING:
    from typing_extensions import Self

#: Version of the ``mfer`` entry in checkpoints.
CHECKPOINT_FORMAT = 1

#: Default learning rate, from a related paper by MFER's authors (docs/recipes.md).
DEFAULT_LR = 2.5e-4


class FERModule(TrainingSteps):
    """Train a network on batches of aligned faces, in any Lightning Trainer.

    If the Trainer also has a :class:`~mfer_lightning.data.FaceDataModule`, module and datamodule must have the same
    classes, and training stores the dataset, protocol and alignment of the datamodule in the checkpoints.

    Logs ``train/loss`` and ``train/<term>`` (means of the total and of the other loss terms over an epoch) and
    ``val/loss``, the loss on the validation faces (:meth:`mfer_lightning.losses.Objective.evaluate`). With the prefixes
    ``val/`` and ``test/``, it logs ``accuracy``, ``mean_class_accuracy``, ``macro_f1``, ``nll`` and the metrics in
    ``metrics``, and, if valence and arousal are predicted and known, ``ccc``, ``rmse`` and ``sagr``, for each of the
    two (``ccc_valence``, ...) and as their mean. The ``test/`` metrics are computed in float32, as on the command line.

    Batches are dicts of ``image`` uint8 (B,3,H,W), ``label`` int64 (B,), ``target`` float32 (B,K), ``index`` int64 (B,)
    with -1 in the padding rows of a distributed evaluation, and optionally ``valence_arousal`` float32 (B,2), NaN where
    unknown.

    Args:
        network: maps normalised images (B,3,S,S) to ``feature`` (B,D), ``logits`` (B,K) and ``head_logits``, a tuple of
            (B,K).
        objective: maps the network's output and the target (B,K) to named loss terms, including ``total``.
        preprocess: maps uint8 images to normalised float images.
        class_names: the K emotions in the network's order.
        optimizer: options of :func:`mfer_lightning.optim.build_optimizer` and of the parameter groups (``name``,
            ``lr``, ``weight_decay``, ``head_lr_scale``, ``center_lr_scale``, ``layer_decay``, ...), or only a name;
            None values are ignored.
        scheduler: options of :func:`mfer_lightning.optim.build_schedule` (``name``, ``warmup_epochs``, ...), and for
            ``plateau`` also those of :func:`mfer_lightning.optim.build_plateau` and ``monitor``, the name of a
            validation metric without ``val/``; or only a name.
        method: computes the loss terms of a training step (:mod:`mfer_lightning.methods`); None: the objective of the
            network's output.
        mixup: mixes the faces of a training batch after preprocessing; None: no mixing.
        metadata: plain values stored in each checkpoint together with the weights (dataset, protocol, configuration).
        metrics: name -> additional torchmetrics metric on logits (B,K) and labels (B,), computed on val and test.
        channels_last: memory format of images and convolution weights.
        compile_network: compile the network with ``torch.compile``.

    Raises:
        ValueError: if an argument has the wrong type, or the network's number of classes differs from ``class_names``.
        UserError: if network, objective, method and mixup do not support each other.

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
        optimizer: Mapping[str, Any] | str | None = None,
        scheduler: Mapping[str, Any] | str | None = None,
        method: Method | None = None,
        mixup: Mixup | None = None,
        metadata: Mapping[str, Any] | None = None,
        metrics: Mapping[str, Metric] | MetricCollection | None = None,
        channels_last: bool = True,
        compile_network: bool = False,
    ) -> None:
        super().__init__(build_metrics(len(tuple(class_names)), metrics))
        if mixup is not None and getattr(getattr(objective, "classification", None), "target_kind", "") == "multi-hot":
            raise UserError(
                "Mixup creates soft targets, but the multi-target loss needs sets of classes. Use mixup=none."
            )
        self.method = method if method is not None else Baseline()
        self.method.check(network, objective)
        if isinstance(objective, Objective):
            objective.check(network)
        check_outputs(network, objective)
        if mixup is not None and not self.method.takes_mixup:
            raise UserError(f"Method {type(self.method).__name__} does not support mixed faces. Use mixup=none.")
        self.class_names = tuple(class_names)
        if getattr(network, "num_classes", len(self.class_names)) != len(self.class_names):
            raise ValueError(
                "Expected argument `class_names` to have as many names as the network has classes, "
                f"{network.num_classes}, but got {len(self.class_names)}."
            )
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.network = network.to(memory_format=self.memory_format)
        for further in self.method.networks:
            further.to(memory_format=self.memory_format)
        self.objective = objective
        self.preprocess = preprocess
        self.optimizer_options = options_of("optimizer", optimizer, "adamw")
        if self.optimizer_options.get("lr") is None:
            self.optimizer_options["lr"] = DEFAULT_LR
        self.scheduler_options = options_of("scheduler", scheduler, "constant")
        self.mixup = mixup
        self._sums, self._seen = {}, 0
        self.metadata = dict(metadata or {})
        self.views = Views.of_metadata(self.metadata)
        self.save_hyperparameters(
            {
                "class_names": list(self.class_names),
                "network": getattr(network, "config", None),
                "preprocess": config_of(preprocess),
                "objective": describe_objective(objective),
                "optimizer": self.optimizer_options,
                "scheduler": self.scheduler_options,
                "method": describe_method(self.method),
                "mixup": None if mixup is None else mixup.config,
                "channels_last": channels_last,
            },
            logger="config" not in self.metadata,  # otherwise the whole configuration is logged, which includes these
        )
        if compile_network:
            self.network.compile()  # in place, so that names in the state dict do not change

    @property
    def lr(self) -> float:
        """The learning rate, which Lightning's tuner reads and sets."""
        return float(self.optimizer_options["lr"])

    @lr.setter
    def lr(self, value: float) -> None:
        self.optimizer_options["lr"] = float(value)

    def setup(self, stage: str) -> None:
        """Check the classes against the datamodule, store its metadata when training, and set up the process for speed.

        As in runs started from the command line, the process keeps freed memory for reuse and flushes denormal numbers
        to zero.

        Raises:
            UserError: if module and datamodule contradict each other.
        """
        keep_freed_memory()
        torch.set_flush_denormal(True)
        datamodule = self.datamodule_of_ours
        if datamodule is None:
            return
        check_classes(self.class_names, datamodule)
        if stage == "fit" and learns_valence_arousal(self.objective):
            check_valence_arousal(datamodule)
        if stage == "fit":
            self.metadata |= learn(self.metadata, datamodule)
            complete_preprocess(self.preprocess, self.metadata, datamodule)

    def on_train_start(self) -> None:
        """Reject batches with different classes or for a different number of processes; restart loaders on resuming."""
        check_loaders(self.class_names, self.trainer, self.trainer.train_dataloader)
        read_resumed_epoch(self.trainer)

    def on_validation_start(self) -> None:
        """Reject batches with different classes, or built for a different number of processes."""
        check_loaders(self.class_names, self.trainer, self.trainer.val_dataloaders)

    def on_test_start(self) -> None:
        """Reject batches with different classes, or built for a different number of processes."""
        check_loaders(self.class_names, self.trainer, self.trainer.test_dataloaders)

    def on_predict_start(self) -> None:
        """Reject batches with different classes, or built for a different number of processes."""
        check_loaders(self.class_names, self.trainer, self.trainer.predict_dataloaders)

    def configure_callbacks(self) -> list[Callback]:
        """Replace Lightning's default progress bar with one that fits on one line; keep any other."""
        bar, default = self.trainer.progress_bar_callback, RichProgressBar()
        ordinary = type(bar) is RichProgressBar and (bar.theme, bar.refresh_rate) == (
            default.theme,
            default.refresh_rate,
        )
        return [FERProgressBar()] if ordinary else []

    def configure_optimizers(self) -> Any:
        """Build the optimiser over named parameter groups, and its schedules.

        A plateau schedule steps once per epoch, after validation; all others step with every optimiser step.
        """
        trainer = self.trainer
        trainer.fit_loop.setup_data()  # estimated_stepping_batches does this too, except with max_epochs=-1
        try:
            return configured(
                (self.network, self.objective, self.method),
                self.optimizer_options,
                self.scheduler_options,
                total_steps=trainer.estimated_stepping_batches,
                batches=trainer.num_training_batches,
                accumulate=trainer.accumulate_grad_batches,
                modes=self.modes(),
            )
        except (TypeError, ValueError) as error:
            raise UserError(f"optimizer or scheduler: {error}") from error

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store everything needed to use the weights: network, preprocessing, class names, protocol, configuration.

        If the method trains two networks, the one with the better validation metric is stored as the network.
        """
        if self.method.rival is not None:  # averaged weights contain the value of an earlier epoch
            checkpoint["state_dict"]["method.kept"] = self.method.kept.clone()  # type: ignore[operator]
            exchange(checkpoint["state_dict"])
        checkpoint["mfer"] = {
            "format": CHECKPOINT_FORMAT,
            "class_names": list(self.class_names),
            "network": getattr(self.network, "config", None),
            "preprocess": config_of(self.preprocess),
            **self.metadata,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Warn if the attention of the network computes something different from that of the checkpoint.

        When training resumes with two networks, each gets its own weights.

        Warns:
            UserWarning: with the differing options.
        """
        if self._trainer is not None and self._trainer.state.fn == TrainerFn.FITTING:
            exchange(checkpoint["state_dict"])
        unlike = unlike_attention(checkpoint.get("mfer") or {}, self.network)
        if unlike is not None:
            warnings.warn(
                f"The attention was trained with {unlike}. Build the network with the options of the checkpoint, "
                "MFER(..., attention={...}); otherwise, its predictions change.",
                stacklevel=2,
            )

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]
        cls,
        checkpoint_path: str | Path,
        map_location: torch.device | str | None = None,
        hparams_file: None = None,
        strict: bool | None = None,
        weights_only: bool | None = None,
        **kwargs: Any,
    ) -> Self:
        """Load a module from a checkpoint written by the command line or any Trainer, without executing code in it.

        Network, preprocessing, objective, class names, optimiser, schedule and metadata come from the checkpoint. Pass
        parts that it does not describe as keyword arguments, such as your own network or objective, and ``metrics``.

        Args:
            checkpoint_path: the file.
            map_location: where to put the module; None: the CPU.
            hparams_file: not supported; use keyword arguments instead.
            strict: whether the weights must match the module exactly; None: use ``strict_loading`` of the module, which
                is true by default.
            weights_only: must not be False, because only tensors and plain values are read.
            **kwargs: arguments of the class, which override the checkpoint's.

        Returns:
            The module, in training mode as with Lightning's own loading.

        Raises:
            UserError: if the file cannot be used, or does not describe a required part.
        """
        if hparams_file is not None or weights_only is False:
            raise UserError(
                "FERModule.load_from_checkpoint does not support hparams_file (pass keyword arguments instead) or "
                "weights_only=False (checkpoints are only read as data)."
            )
        path = Path(checkpoint_path).expanduser()
        checkpoint = read_checkpoint(path)
        check_storages(path, (value for value in checkpoint["state_dict"].values() if isinstance(value, Tensor)))
        stored = StoredArguments(checkpoint, path, kwargs)
        names, _ = keyword_parameters(cls)
        module = cls(**{name: stored[name] for name in names if name not in kwargs and name in stored}, **kwargs)
        module.on_load_checkpoint(checkpoint)
        state = checkpoint["state_dict"]
        if not hasattr(module.network, SCALE):
            state = merge_adapter(state)
        module.load_state_dict(state, module.strict_loading if strict is None else strict)
        return module if map_location is None else module.to(map_location)
