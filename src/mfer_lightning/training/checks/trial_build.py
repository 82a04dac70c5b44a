"""Build the parts of a training run without reading data or allocating weights, to find errors early."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Timer
from torch import nn

from mfer_lightning.bundled.registry import bundled_models, precedence_note
from mfer_lightning.callbacks import EarlyStop, FreezeBackbone, WarmEMA
from mfer_lightning.config.instantiate import described
from mfer_lightning.errors import UserError
from mfer_lightning.methods import Method
from mfer_lightning.module import FERModule
from mfer_lightning.nn import Network
from mfer_lightning.nn.adapter import add_adapter
from mfer_lightning.nn.cost import count_gflops
from mfer_lightning.nn.weights.download import check_download
from mfer_lightning.nn.weights.read import check_exists
from mfer_lightning.optim import optimizer_for, plateau_for, schedule_for
from mfer_lightning.training.build import assemble, build_datamodule, build_network
from mfer_lightning.training.build_trainer import early_stop_options
from mfer_lightning.training.bundled_weights import bundled_weights
from mfer_lightning.training.checks.hardware import check_accelerator
from mfer_lightning.training.checks.values import look_up
from mfer_lightning.training.further_metrics import mode_of, selecting_monitor
from mfer_lightning.training.teachers import teacher_files
from mfer_lightning.training.user_callbacks import build_user_callbacks

#: Number of classes of a trial network if only the data files list the classes.
SOME_CLASSES = 7

#: Steps per epoch of a trial run whose length is given in epochs (the number of faces is not known yet): more than any
#: warm-up given in steps.
_STEPS_PER_EPOCH = 1_000_000


def build_on_trial(config: Mapping[str, Any]) -> None:
    """Build datamodule, network, losses, optimizer, schedule and callbacks without data.

    The network is built without allocating memory (on torch's meta device) and applied to one face of the requested
    size. The random state is restored.

    Args:
        config: plain resolved configuration of ``mfer train``.

    Raises:
        UserError: for values that a constructor rejects; the message names the option.
    """
    check_accelerator(config["trainer"]["accelerator"])
    teacher_files(config)
    _check_weights(str(config["weights"]))
    state = torch.random.get_rng_state()
    try:
        datamodule = build_datamodule(config)
        with described("ema"):
            WarmEMA(config["ema"]["decay"])
        with described("freeze"):
            FreezeBackbone(config["freeze"]["epochs"])
        _check_time(config["trainer"]["max_time"])
        build_user_callbacks(config, Path("run"))
        protocol = datamodule.protocol
        module = _build_module(
            config, protocol.class_names, int(config["preprocess"]["size"] or datamodule.size or 224)
        )
        if module is not None and config["weights"] == "imagenet":
            check_download(module.network)  # type: ignore[arg-type]
        if module is not None:
            _check_figures(config, module.modes(), selecting_monitor(config, protocol) or protocol.monitor)
    finally:
        torch.random.set_rng_state(state)


def _check_time(max_time: Any) -> None:
    try:
        Timer(duration=max_time)
    except (MisconfigurationException, TypeError) as error:
        raise UserError(
            f"trainer.max_time={max_time}: the value must be days:hours:minutes:seconds, e.g. 00:12:00:00, or a "
            "mapping such as {hours:12}."
        ) from error


def _check_weights(weights: str) -> None:
    if weights not in ("none", "imagenet") and bundled_weights(weights) is None:
        path = Path(weights).expanduser()
        if path.is_dir() and (note := precedence_note(weights, "weights")) is not None:
            raise UserError(f"weights={weights}: {note}")
        check_exists(path, dict.fromkeys(model.name for model in bundled_models()))


def _check_figures(config: Mapping[str, Any], modes: Mapping[str, str], monitor: str) -> None:
    """Reject metrics for selection, early stopping or the plateau schedule that are not computed."""
    mode_of("monitor", monitor, modes)
    if config["scheduler"]["name"] == "plateau":
        mode_of("scheduler.monitor", config["scheduler"].get("monitor") or monitor, modes)
    with described("early_stopping"):
        EarlyStop(**early_stop_options(config, monitor, modes))


def _build_module(config: Mapping[str, Any], class_names: tuple[str, ...], size: int) -> FERModule | None:
    """Build a module for a trial; None if its network cannot be built on the meta device."""
    weights = look_up(config, "loss.classification.class_weights")
    count = len(class_names) or (len(weights) if isinstance(weights, list) else SOME_CLASSES)

    def network_on_trial() -> Network:
        with torch.device("meta"):
            return build_network(config, count, size)

    try:
        network = network_on_trial()
    except (RuntimeError, NotImplementedError):  # the constructor reads computed values, which meta tensors do not have
        return None
    with described("adapter"):
        add_adapter(network, config["adapter"])
    names = class_names or tuple(str(k) for k in range(count))
    module = assemble(config, network, names, (1,) * count, second=network_on_trial)
    gflops_of(network, size)
    with described("optimizer"):
        optimizer = optimizer_for(module.network, module.objective, config["optimizer"], module.method)
    with described("scheduler"):
        plateau_for(optimizer, config["scheduler"], "max")
        epochs, steps = config["trainer"]["max_epochs"] or -1, config["trainer"]["max_steps"]
        per_epoch = _STEPS_PER_EPOCH if epochs > 0 else 1
        schedule_for(optimizer, config["scheduler"], epochs * per_epoch if epochs > 0 else steps, per_epoch)
    return module


def gflops_of(network: nn.Module, size: int) -> float:
    """Count a network's multiply-adds per face (:func:`mfer_lightning.nn.cost.count_gflops`).

    Args:
        network: may be on the meta device.
        size: side of the faces in pixels.

    Returns:
        Billions of multiply-adds; NaN if they cannot be counted.

    Raises:
        UserError: if the network does not accept faces of this size.
    """
    try:
        return count_gflops(network, size)
    except NotImplementedError:  # on torch's meta device
        return float("nan")
    except (RuntimeError, ValueError, AssertionError) as error:
        raise UserError(
            f"preprocess.size={size}: the network does not support faces of this size ({error})."
        ) from error


def relative_cost(method: Method, gflops: float, size: int) -> float:
    """Compute the cost of training with a method relative to plain training.

    Args:
        method: the method with its additional networks and teachers.
        gflops: multiply-adds of the network per face, in billions.
        size: side of the faces in pixels; a teacher with a ``size`` uses its own.

    Returns:
        A factor; a teacher costs a third of a trained network, because it runs only the forward pass. If the cost of
        the network is not known, the number of passes of the method.
    """
    trained = gflops + sum(gflops_of(network, size) for network in method.networks)
    frozen = sum(
        gflops_of(getattr(teacher, "network", teacher), getattr(teacher, "size", None) or size)
        for teacher in method.teachers
    )
    return (method.passes * trained + frozen / 3) / gflops if gflops > 0 else float(method.passes)
