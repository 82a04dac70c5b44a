"""Build the callbacks in ``callbacks``, and reject those that do not work in a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import (
    Callback,
    DeviceStatsMonitor,
    EarlyStopping,
    LearningRateMonitor,
    ModelCheckpoint,
    ModelSummary,
    OnExceptionCheckpoint,
    ProgressBar,
    Timer,
    WeightAveraging,
)

from mfer_lightning.callbacks import CentersFromData, FreezeBackbone
from mfer_lightning.config.instantiate import LIBRARIES, instantiate, locate
from mfer_lightning.errors import UserError

Config = Mapping[str, Any]

_HAS_ANYWAY = "every run has one."
_BASE = "it is a base class without any effect. Use a subclass of it, with plugins=[...]."
_FINDER = "the run would train with a value that its configuration does not contain. Find it in a script first."
_FREEZE = "it adds parameter groups during training. Use freeze=backbone or callbacks=freeze."
_FUNCTION = "it takes functions, which a configuration cannot name. Write your own callback, with plugins=[...]."

#: Public callbacks of Lightning and of this package that a configuration must not name, and why.
REFUSED: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("Callback", "Checkpoint", "ProgressBar", "BasePredictionWriter"), _BASE),
        **dict.fromkeys(("BaseFinetuning", "BackboneFinetuning"), _FREEZE),
        **dict.fromkeys(("BatchSizeFinder", "LearningRateFinder"), _FINDER),
        "LambdaCallback": _FUNCTION,
        "ThroughputMonitor": f"{_FUNCTION[:-1]}. metrics.csv already contains images_per_second.",
        "GradientAccumulationScheduler": "the learning rate schedule needs a known number of steps. Use "
        "trainer.accumulate_grad_batches.",
        "StochasticWeightAveraging": "its average is computed after the last checkpoint and would not be evaluated. "
        "Use ema=default or callbacks=weight_averaging.",
        "ModelPruning": "it renames the weights, so that checkpoints of the run could not be loaded.",
        "PruneTrial": "it belongs to the trials of a search. Use sweep=optuna with hydra/sweeper/pruner=median.",
        "SpikeDetection": "it ends a run so that a restart skips batches, but here a restart uses all batches.",
        **dict.fromkeys(
            (
                *("EndOfTraining", "EpochLines", "StepSeed", "FERProgressBar", "FiniteLossGuard", "History"),
                *("Interruption", "SlowLoader"),
            ),
            _HAS_ANYWAY,
        ),
        "RunCheckpoint": f"{_HAS_ANYWAY[:-1]}. callbacks=model_checkpoint writes further checkpoints.",
        "CompileNetwork": "use trainer.compile=true.",
    }
)

#: Callbacks of which a run can have only one -> the option that also adds it. As an exception, ``callbacks`` may name
#: several ``EarlyStopping``.
_ONE_OF_A_KIND: Mapping[type[Callback], str] = MappingProxyType(
    {
        WeightAveraging: "ema",
        EarlyStopping: "early_stopping",
        FreezeBackbone: "freeze",
        CentersFromData: "loss.centers_from_data",
        Timer: "trainer.max_time",
        ModelSummary: "trainer.enable_model_summary",
        ProgressBar: "",
    }
)


def build_user_callbacks(config: Config, run_dir: Path) -> list[Callback]:
    """Build the callbacks of the configuration, in order.

    Args:
        config: plain resolved configuration.
        run_dir: the run's folder. Checkpoints go to its subfolder ``checkpoints/<name>/``, unless ``dirpath`` is given.

    Raises:
        UserError: for callbacks that cannot be built, are part of every run, occur twice, or need a logger or
            pre-trained weights that the run does not have.
    """
    built: dict[str, Callback] = {}
    for name, node in (config.get("callbacks") or {}).items():
        if node is not None:
            built[name] = _build(name, node, run_dir)
    _check(built, config)
    return list(built.values())


def _build(name: str, node: Any, run_dir: Path) -> Callback:
    where = f"callbacks.{name}"
    if not isinstance(node, Mapping) or "_target_" not in node:
        raise UserError(
            f"{where}: the value must be a mapping with `_target_`, the name of a class, e.g. "
            f"+{where}._target_=lightning.pytorch.callbacks.Timer; callbacks={name} selects a file in conf/callbacks."
        )
    libraries = LIBRARIES["callbacks"]
    kind = locate(str(node["_target_"]), where, libraries)
    if kind.__module__.startswith(("lightning.", "mfer_lightning.")) and kind.__name__ in REFUSED:
        raise UserError(f"{where}: {kind.__name__} cannot be used here: {REFUSED[kind.__name__]}")
    writes = isinstance(kind, type) and issubclass(kind, (ModelCheckpoint, OnExceptionCheckpoint))
    if writes and not node.get("dirpath"):
        node = {**node, "dirpath": str(run_dir / "checkpoints" / name)}
    try:
        callback: Callback = instantiate(node, where=where, base=Callback, libraries=libraries)
    except (MisconfigurationException, ImportError) as error:
        raise UserError(f"{where}: {' '.join(str(error).split())}") from error
    return callback


def _check(built: Mapping[str, Callback], config: Config) -> None:
    for kind, option in _ONE_OF_A_KIND.items():
        named = [f"callbacks.{name}" for name, callback in built.items() if isinstance(callback, kind)]
        if named and _is_on(config, option):
            raise UserError(
                f"{named[0]} and {option} both add {kind.__name__}, and cannot be combined. Keep one of them."
            )
        if len(named) > 1 and kind is not EarlyStopping:
            raise UserError(
                f"{named[0]} and {named[1]} are both {kind.__name__}, but a run can have only one. Keep one of them."
            )
    logs = config["logger"].get("name") not in ("csv", "none")
    for name, callback in built.items():
        if isinstance(callback, (LearningRateMonitor, DeviceStatsMonitor)) and not logs:
            raise UserError(
                f"callbacks.{name} writes to a logger, but the run has none. Add logger=tensorboard or logger=wandb. "
                "metrics.csv already contains the learning rate of each epoch."
            )
        if isinstance(callback, FreezeBackbone) and config["weights"] == "none":
            raise UserError(
                f"callbacks.{name} would keep a backbone with random weights. Load pre-trained weights with "
                "weights=imagenet or weights=<file>."
            )


def _is_on(config: Config, option: str) -> bool:
    """Whether an option already adds the callback to the run."""
    node: Any = config
    for part in option.split(".") if option else ():
        node = node[part]
    return node["name"] != "none" if isinstance(node, Mapping) and option else bool(option and node)
