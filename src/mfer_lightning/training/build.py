"""The parts of a training run, built from its plain configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import lightning as L
import torch
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.profilers import AdvancedProfiler, Profiler, PyTorchProfiler, SimpleProfiler
from lightning.pytorch.strategies import DDPStrategy, Strategy

from mfer_lightning.callbacks import (
    AtomicCheckpointIO,
    CentersFromData,
    CompileNetwork,
    EarlyStop,
    EpochLines,
    FERProgressBar,
    FiniteLossGuard,
    FreezeBackbone,
    History,
    Interruption,
    RunCheckpoint,
    StepTimes,
    WarmEMA,
)
from mfer_lightning.config.instantiate import described, instantiate
from mfer_lightning.config.precision import configured_precision
from mfer_lightning.data.datasets import FaceDataModule
from mfer_lightning.errors import UserError
from mfer_lightning.inference.checkpoint import read_checkpoint
from mfer_lightning.losses import Objective, class_weights_from_counts
from mfer_lightning.module import FERModule
from mfer_lightning.nn import MFER, Preprocess, load_weights
from mfer_lightning.optim import Mixup
from mfer_lightning.sweep.ranks import external_environment
from mfer_lightning.sweep.slurm import requeue_command
from mfer_lightning.tracking.epoch_curves import EpochCurves
from mfer_lightning.tracking.loggers import build_loggers
from mfer_lightning.training.combinations import device_count

Config = Mapping[str, Any]


def build_datamodule(config: Config) -> FaceDataModule:
    """Build the datamodule that ``dataset`` names, with the loader's, the augmentation's and the sampler's options."""
    loader = config["loader"]
    pin = loader["pin_memory"]
    datamodule = instantiate(
        config["dataset"],
        where="dataset",
        augment=_name_or_spec(config["augment"]),
        sampler=config["sampler"]["name"],
        batch_size=loader["batch_size"],
        eval_batch_size=loader["eval_batch_size"],
        num_workers=loader["num_workers"],
        pin_memory=torch.cuda.is_available() if pin == "auto" else pin,
        cache_dir=config["paths"]["cache"],
        seed=config["seed"],
        train_faces=config["trainer"].get("overfit_batches", 0) * loader["batch_size"] or None,
        track_test=config["track_test"],
    )
    if not isinstance(datamodule, FaceDataModule):
        raise UserError(f"dataset: `{config['dataset']['_target_']}` is not a FaceDataModule.")
    return datamodule


def build_module(config: Config, datamodule: FaceDataModule, metadata: Config) -> FERModule:
    """Build network, objective and preprocessing, and load the initial weights that ``weights`` names."""
    backbone = {k: v for k, v in config["backbone"].items() if v is not None}
    with described("network"):
        network = MFER(backbone, datamodule.num_classes, attention=config["attention"], head=config["head"])
    with described("weights"):
        report = load_weights(network, config["weights"], head=_head_choice(config["weights"], datamodule.class_names))
    if config["trainer"]["checkpointing"]:
        network.backbone.set_checkpointing()
    if config["weights"] != "none":
        print(f"weights: {report}", flush=True)
    loss = {**config["loss"], "classification": _weighted(config["loss"]["classification"], datamodule)}
    objective = build_losses(loss, datamodule.num_classes, network.feature_dim, datamodule.class_counts)
    with described("preprocess"):
        grey = datamodule.train_dataset is not None and datamodule.train_dataset.is_grey()
        alignment = metadata.get("alignment", {}).get("template")
        preprocess = Preprocess(**config["preprocess"], grey=grey, alignment=alignment)
    with described("mixup"):
        mixup = build_mixup(config)
    return FERModule(
        network,
        objective,
        preprocess,
        class_names=datamodule.class_names,
        optimizer=config["optimizer"],
        scheduler=config["scheduler"],
        mixup=mixup,
        metadata=metadata,
        channels_last=config["trainer"]["channels_last"],
    )


def build_losses(loss: Config, num_classes: int, feature_dim: int, class_counts: Sequence[int]) -> Objective:
    """Build the objective that ``loss`` describes, whose class weights are numbers by now."""
    available = {"num_classes": num_classes, "feature_dim": feature_dim, "class_counts": tuple(class_counts)}
    classification = instantiate(loss["classification"], where="loss.classification", **available)
    feature = instantiate(loss["feature"], where="loss.feature", **available) if loss["feature"] else None
    with described("loss"):
        return Objective(classification, feature, loss["feature_weight"])


def build_trainer(config: Config, run_dir: Path, monitor: str | None, history: History) -> L.Trainer:
    """Build Lightning's Trainer with our callbacks and loggers.

    Args:
        config: plain resolved configuration.
        run_dir: the run's folder.
        monitor: the validation metric that selects the checkpoint; None: the last epoch's is taken.
        history: writes ``metrics.csv``.

    Raises:
        UserError: where Lightning refuses the combination.
    """
    options = config["trainer"]
    limits = {k: options[k] for k in ("limit_train_batches", "limit_val_batches") if options[k] is not None}
    environment = _environment(options)
    try:
        trainer = L.Trainer(
            accelerator=options["accelerator"],
            devices=options["devices"],
            num_nodes=options["num_nodes"],
            strategy=_strategy(options, freezes=config["freeze"]["name"] != "none"),
            precision=precision(options),
            max_epochs=options["max_epochs"],
            accumulate_grad_batches=options["accumulate"],
            gradient_clip_val=options["clip"],
            deterministic="warn" if options["deterministic"] else None,
            callbacks=build_callbacks(config, run_dir, monitor, history),
            plugins=[AtomicCheckpointIO(), *([] if environment is None else [environment])],
            logger=build_loggers(config, run_dir) or False,
            default_root_dir=str(run_dir),
            num_sanity_val_steps=0,
            use_distributed_sampler=False,  # our samplers know the ranks, and count each test face once
            enable_model_summary=False,
            enable_progress_bar=interactive(),
            log_every_n_steps=50,
            fast_dev_run=options["fast_dev_run"],
            profiler=_profiler(options["profiler"], run_dir / "profile"),
            **limits,
        )
        if environment is not None:
            environment.validate_settings(trainer.num_devices, trainer.num_nodes)
        return trainer
    except UserError:
        raise
    except Exception as error:  # Lightning raises MisconfigurationException, ValueError, RuntimeError, ...
        raise UserError(f"trainer: {error}") from error


def _environment(options: Config) -> ClusterEnvironment | None:
    """Say who starts the further ranks, where Lightning would not find it out as we need it; None: it does."""
    external = external_environment()
    if external is not None or not SLURMEnvironment.detect() or TorchElasticEnvironment.detect():
        return external
    if options["num_nodes"] > 1:
        raise UserError(
            f"trainer.num_nodes={options['num_nodes']}, but SLURM has started one task: start the command with srun, "
            "one task a GPU (--nodes, --ntasks-per-node)."
        )
    return LightningEnvironment()  # one task, which starts the ranks itself, as on a workstation


def build_callbacks(config: Config, run_dir: Path, monitor: str | None, history: History) -> list[Callback]:
    """Guard, history, averaging, checkpoints and progress, in the order in which they act at the end of an epoch."""
    callbacks: list[Callback] = [FiniteLossGuard(), history, EpochCurves(lambda: history.rows[-1])]
    if config["freeze"]["name"] == "backbone":
        callbacks.append(FreezeBackbone(config["freeze"]["epochs"]))
    if config["trainer"]["compile"]:
        callbacks.append(CompileNetwork())
    if config["ema"]["name"] == "ema":
        callbacks.append(WarmEMA(config["ema"]["decay"]))
    if config["loss"]["centers_from_data"]:
        callbacks.append(CentersFromData())
    if config["early_stopping"]["name"] != "none" and monitor is not None:
        callbacks.append(EarlyStop(**early_stop_options(config, monitor)))
    callbacks.append(FERProgressBar() if interactive() else EpochLines())
    folder = run_dir / "checkpoints"
    callbacks.append(RunCheckpoint(folder, "best", None if monitor is None else f"val/{monitor}"))
    callbacks.append(RunCheckpoint(folder, "last"))
    callbacks.append(Interruption(folder, requeue_command()))
    return callbacks


def interactive() -> bool:
    """Whether output goes to a terminal that can redraw a progress bar."""
    from rich.console import Console

    return Console().is_terminal


def precision(options: Config) -> Any:
    """Choose the arithmetic: bfloat16 where the hardware multiplies it natively, else float32.

    Args:
        options: the ``trainer`` node, with ``precision`` and ``accelerator``.

    Returns:
        A precision that Lightning knows (a string).
    """
    if (chosen := configured_precision(options)) is not None:
        return chosen
    if options["accelerator"] in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"
    if options["accelerator"] in ("auto", "cpu") and torch.cpu._is_avx512_bf16_supported():
        return "bf16-mixed"
    return "32-true"


def _weighted(node: Config, datamodule: FaceDataModule) -> dict[str, Any]:
    """Put numbers in the place of a scheme of class weights, from the training set's counts."""
    scheme = node.get("class_weights")
    if not isinstance(scheme, str):
        if scheme is not None and len(scheme) != datamodule.num_classes:
            raise UserError(
                f"loss.classification.class_weights has {len(scheme)} numbers for {datamodule.num_classes} classes "
                f"({', '.join(datamodule.class_names)}): give one a class, in this order."
            )
        return dict(node)
    with described("loss.classification.class_weights"):
        if scheme != "none":
            empty = [n for n, c in zip(datamodule.class_names, datamodule.class_counts, strict=True) if c == 0]
            if empty:
                raise ValueError(f"{scheme} is not possible: there is no training face of {', '.join(empty)}.")
        weights = None if scheme == "none" else class_weights_from_counts(datamodule.class_counts, scheme)
    return {**node, "class_weights": None if weights is None else list(weights)}


def _head_choice(weights: str, class_names: Sequence[str]) -> Literal["load", "new"]:
    """Whether the heads of a checkpoint of ours fit: only where its classes are the same in the same order."""
    if not weights.endswith(".ckpt"):
        return "load"
    stored = tuple(read_checkpoint(weights)["mfer"]["class_names"])
    if stored == tuple(class_names):
        return "load"
    print(f"weights: trained on the classes {', '.join(stored)}, which are not this dataset's: new heads.", flush=True)
    return "new"


def early_stop_options(config: Config, monitor: str) -> dict[str, Any]:
    """Arguments of :class:`EarlyStop`; the figure is the protocol's where none is named."""
    options = {k: v for k, v in config["early_stopping"].items() if k != "name"}
    return {**options, "monitor": options.get("monitor") or monitor}


def build_mixup(config: Config) -> Mixup | None:
    """Build what ``mixup`` describes; None: faces are not mixed."""
    options = {k: v for k, v in config["mixup"].items() if k != "name"}
    return None if config["mixup"]["name"] == "none" else Mixup(**options, seed=config["seed"])


def _strategy(options: Config, freezes: bool) -> str | Strategy:
    ddp = options["strategy"] == "ddp" or (freezes and (device_count(options["devices"]) != 1))
    if not ddp:
        return str(options["strategy"])
    on_cpu = options["accelerator"] == "cpu"
    return DDPStrategy(
        process_group_backend="gloo" if on_cpu else None,
        gradient_as_bucket_view=True,
        find_unused_parameters=freezes,  # weights that are frozen get no gradient
    )


def _profiler(name: str | None, folder: Path) -> Profiler | None:
    """Lightning's profiler, whose report goes into a folder of the run."""
    if name is None:
        return None
    if name == "steps":
        return StepTimes(folder)
    kinds = {"simple": SimpleProfiler, "advanced": AdvancedProfiler, "pytorch": PyTorchProfiler}
    folder.mkdir(parents=True, exist_ok=True)
    profiler: Profiler = kinds[name](dirpath=str(folder), filename=name)
    return profiler


def _name_or_spec(node: Config) -> Any:
    return node["name"] if set(node) == {"name"} else dict(node)
