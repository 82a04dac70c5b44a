"""Build Lightning's Trainer with the callbacks, loggers and hardware settings of a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.callbacks import Callback, Checkpoint, ProgressBar
from lightning.pytorch.profilers import AdvancedProfiler, Profiler, PyTorchProfiler, SimpleProfiler
from lightning.pytorch.strategies import DDPStrategy, Strategy

from mfer_lightning.callbacks import (
    AtomicCheckpointIO,
    CentersFromData,
    CompileNetwork,
    EarlyStop,
    EndOfTraining,
    EpochLines,
    FERProgressBar,
    FiniteLossGuard,
    FreezeBackbone,
    History,
    Interruption,
    PruneTrial,
    RunCheckpoint,
    SlowLoader,
    StepSeed,
    StepTimes,
    WarmEMA,
)
from mfer_lightning.callbacks.early_stop import MODES
from mfer_lightning.config.precision import configured_precision
from mfer_lightning.config.trainer_options import OURS
from mfer_lightning.config.trainer_options import Trainer as TrainerOptions
from mfer_lightning.errors import UserError
from mfer_lightning.sweeps.ranks import external_environment
from mfer_lightning.sweeps.slurm import requeue_command
from mfer_lightning.sweeps.trial import reporter
from mfer_lightning.tracking.epoch_curves import EpochCurves
from mfer_lightning.tracking.loggers import build_loggers
from mfer_lightning.training.checks.hardware import device_count
from mfer_lightning.training.further_metrics import mode_of
from mfer_lightning.training.user_callbacks import build_user_callbacks

Config = Mapping[str, Any]

#: Options passed unchanged to Lightning's Trainer.
PASSED_ON = tuple(
    f.name
    for f in fields(TrainerOptions)
    if f.name not in (*OURS, "strategy", "precision", "profiler", "enable_progress_bar", "overfit_batches")
)


def build_trainer(
    config: Config, run_dir: Path, monitor: str | None, history: History, modes: Mapping[str, str] = MODES
) -> L.Trainer:
    """Build Lightning's Trainer with our callbacks and loggers.

    Args:
        config: plain resolved configuration.
        run_dir: the run's folder.
        monitor: the validation metric that selects the checkpoint; None: use the last epoch.
        history: writes ``metrics.csv``.
        modes: validation metric -> whether higher (``max``) or lower (``min``) is better.

    Raises:
        UserError: if Lightning rejects the settings.
    """
    options = config["trainer"]
    environment = _environment(options)
    callbacks = build_callbacks(config, run_dir, monitor, history, modes)
    freezes = any(isinstance(callback, FreezeBackbone) for callback in callbacks)
    try:
        trainer = L.Trainer(
            **{name: options[name] for name in PASSED_ON},
            strategy=_strategy(options, freezes),
            precision=precision(options),
            callbacks=callbacks,
            plugins=[AtomicCheckpointIO(), *([] if environment is None else [environment])],
            logger=build_loggers(config, run_dir) or False,
            default_root_dir=str(run_dir),
            use_distributed_sampler=False,  # our samplers handle ranks and count each test face once
            enable_progress_bar=any(isinstance(callback, ProgressBar) for callback in callbacks),
            profiler=_profiler(options["profiler"], run_dir / "profile"),
        )
        if environment is not None:
            environment.validate_settings(trainer.num_devices, trainer.num_nodes)
        return trainer
    except UserError:
        raise
    except Exception as error:  # Lightning raises MisconfigurationException, ValueError, RuntimeError, ...
        raise UserError(f"trainer: {error}") from error


def _environment(options: Config) -> ClusterEnvironment | None:
    """Return the environment that starts the other ranks; None: Lightning's own detection is correct."""
    external = external_environment()
    if external is not None or not SLURMEnvironment.detect() or TorchElasticEnvironment.detect():
        return external
    if options["num_nodes"] > 1:
        raise UserError(
            f"trainer.num_nodes={options['num_nodes']}, but SLURM has started one task. Start the command with srun, "
            "one task per GPU (--nodes, --ntasks-per-node)."
        )
    return LightningEnvironment()  # one task, which starts the ranks itself, as on a workstation


def build_callbacks(
    config: Config, run_dir: Path, monitor: str | None, history: History, modes: Mapping[str, str] = MODES
) -> list[Callback]:
    """Build the callbacks: the package's own, the user's, the progress bar, and the checkpoints, in this order.

    Lightning treats the first checkpoint callback as the main callback, so the user's checkpoint callbacks come last.
    """
    own = build_user_callbacks(config, run_dir)
    callbacks: list[Callback] = [FiniteLossGuard(), history, EpochCurves(lambda: history.rows[-1]), EndOfTraining()]
    callbacks.append(StepSeed(config["seed"]))
    if config["adapter"]["name"] != "none":  # also keeps the batch-norm statistics unchanged
        callbacks.append(FreezeBackbone())
    elif config["freeze"]["name"] == "backbone":
        callbacks.append(FreezeBackbone(config["freeze"]["epochs"]))
    if mode := config["trainer"]["compile"]:
        callbacks.append(CompileNetwork("blocks" if mode is True else mode))
    if config["ema"]["name"] == "ema":
        callbacks.append(WarmEMA(config["ema"]["decay"]))
    if config["loss"]["centers_from_data"]:
        callbacks.append(CentersFromData())
    if config["early_stopping"]["name"] != "none" and monitor is not None:
        callbacks.append(EarlyStop(**early_stop_options(config, monitor, modes)))
    if (report := reporter()) is not None and monitor is not None:
        callbacks.append(PruneTrial(f"val/{monitor}", report))
    callbacks += [callback for callback in own if not isinstance(callback, Checkpoint)]
    if not any(isinstance(callback, ProgressBar) for callback in own):
        wanted = config["trainer"]["enable_progress_bar"]
        callbacks.append(FERProgressBar() if (interactive() if wanted is None else wanted) else EpochLines())
    callbacks.append(SlowLoader())  # after the others, to exclude their time
    folder = run_dir / "checkpoints"
    mode = "max" if monitor is None else mode_of("monitor", monitor, modes)
    callbacks.append(RunCheckpoint(folder, "best", None if monitor is None else f"val/{monitor}", mode))
    callbacks.append(RunCheckpoint(folder, "last"))
    callbacks.append(Interruption(folder, requeue_command()))
    return callbacks + [callback for callback in own if isinstance(callback, Checkpoint)]


def interactive() -> bool:
    """Whether output goes to a terminal that can redraw a progress bar."""
    from rich.console import Console

    return Console().is_terminal


def precision(options: Config) -> Any:
    """Return the configured precision; ``auto`` is resolved for the hardware.

    ``auto`` is bfloat16 if the hardware supports it natively, else float16 on a CUDA GPU, and float32 elsewhere.

    Args:
        options: the ``trainer`` node, with ``precision`` and ``accelerator``.

    Returns:
        A precision string of Lightning.
    """
    if (chosen := configured_precision(options)) is not None:
        return chosen
    if options["accelerator"] in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"
    if options["accelerator"] in ("auto", "cpu") and torch.cpu._is_avx512_bf16_supported():
        return "bf16-mixed"
    return "32-true"


def _strategy(options: Config, freezes: bool) -> str | Strategy:
    ddp = options["strategy"].startswith("ddp") or (freezes and (device_count(options["devices"]) != 1))
    if not ddp:
        return str(options["strategy"])
    on_cpu = options["accelerator"] == "cpu"
    return DDPStrategy(
        process_group_backend="gloo" if on_cpu else None,
        gradient_as_bucket_view=True,
        # frozen weights get no gradient
        find_unused_parameters=freezes or options["strategy"] == "ddp_find_unused_parameters_true",
    )


def _profiler(name: str | None, folder: Path) -> Profiler | None:
    """Build Lightning's profiler, with its report in a folder of the run."""
    if name is None:
        return None
    if name == "steps":
        return StepTimes(folder)
    kinds = {"simple": SimpleProfiler, "advanced": AdvancedProfiler, "pytorch": PyTorchProfiler}
    folder.mkdir(parents=True, exist_ok=True)
    profiler: Profiler = kinds[name](dirpath=str(folder), filename=name)
    return profiler


def early_stop_options(config: Config, monitor: str, modes: Mapping[str, str]) -> dict[str, Any]:
    """Return the arguments of :class:`EarlyStop`, which monitors the selection metric by default."""
    options = {k: v for k, v in config["early_stopping"].items() if k != "name"}
    figure = options.get("monitor") or monitor
    return {**options, "monitor": figure, "mode": mode_of("early_stopping.monitor", figure, modes)}
