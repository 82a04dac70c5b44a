"""Check the options of a logger against the signatures of its classes."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_type_hints

from pydantic import ConfigDict, PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError

from mfer_lightning.config.instantiate import keyword_parameters
from mfer_lightning.errors import UserError, nearest

#: Logger -> classes and functions whose arguments are its options: Lightning's class, then the class or function that
#: receives further keyword arguments from it.
TAKERS: Mapping[str, tuple[str, ...]] = {
    "wandb": ("lightning.pytorch.loggers.WandbLogger", "wandb.init"),
    "tensorboard": ("lightning.pytorch.loggers.TensorBoardLogger", "torch.utils.tensorboard.SummaryWriter"),
    "mlflow": ("lightning.pytorch.loggers.MLFlowLogger",),
    "comet": ("lightning.pytorch.loggers.CometLogger", "comet_ml.ExperimentConfig"),
}

#: Our options, in addition to those of the class.
OURS: Mapping[str, tuple[str, ...]] = {
    "wandb": ("mode", "images", "checkpoints"),
    "tensorboard": ("images",),
    "mlflow": ("images", "checkpoints"),
    "comet": ("images", "checkpoints"),
}

_KEPT = "it is stored in the run's folder, so that a resumed run keeps it"
#: Arguments that are not options, and why.
REFUSED: Mapping[str, str] = {
    "wandb.experiment": "a run is started for each run folder",
    "wandb.config": "it is the configuration of the run",
    "wandb.settings": "the package sets what W&B stores and prints",
    "wandb.reinit": "each run folder has its own W&B run",
    "wandb.resume": "a resumed run continues its W&B run automatically",
    **dict.fromkeys(("wandb.id", "wandb.version", "mlflow.run_id", "comet.experiment_key"), _KEPT),
    "tensorboard.log_dir": "it is derived from save_dir, name and version",
    "comet.api_key": "options are stored with the run, so set COMET_API_KEY instead",
    "comet.disabled": "to disable Comet, do not set logger=comet",
}


def checked_arguments(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Check the options of a logger by name and type.

    Args:
        name: name of the logger, a key of :data:`TAKERS`, whose packages are installed.
        options: the options in the configuration.

    Returns:
        The options, converted to their types; null values are left out.

    Raises:
        UserError: for an unknown option, or a value of the wrong type; the message names what is legal.
    """
    found: dict[str, Any] = {}
    for key, value in options.items():
        if reason := REFUSED.get(f"{name}.{key}"):
            raise UserError(f"logger.{name}.{key}={value}: {reason}. Remove the option.")
        if key not in OURS[name] and key not in (hints := dict(_hints(name))):
            legal = sorted({*OURS[name], *(k for k in hints if f"{name}.{k}" not in REFUSED)})
            owner = TAKERS[name][0].rpartition(".")[2]
            hint = nearest(key, legal)
            listed = "" if hint.startswith("legal") else f" Options: {', '.join(legal)}."
            raise UserError(f"logger.{name} has no option `{key}`: {hint} (arguments of {owner}).{listed}")
        if key in OURS[name]:
            kind: Any = str if key == "mode" else bool
        else:
            kind = hints.get(key, Any)
        if value is not None:
            found[key] = _converted(f"logger.{name}.{key}", value, kind)
    return found


def _converted(option: str, value: Any, kind: Any) -> Any:
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(kind, config=ConfigDict(coerce_numbers_to_str=True))
    except (PydanticSchemaGenerationError, PydanticUserError):  # a class of the library, which takes objects
        return value
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        said = error.errors()[0]["msg"]
        raise UserError(f"{option}={value}: {said[0].lower()}{said[1:]}.") from error


def _hints(name: str) -> Iterator[tuple[str, Any]]:
    """Yield the name and type of every argument; ``Any`` for types that cannot be resolved."""
    for target in reversed(TAKERS[name]):
        module, _, attribute = target.rpartition(".")
        taker: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
        function = taker.__init__ if inspect.isclass(taker) else taker
        for key, parameter in keyword_parameters(taker)[0].items():
            holder = type("holder", (), {"__annotations__": {key: parameter.annotation}})
            try:
                hints = get_type_hints(holder, globalns=getattr(function, "__globals__", {}))
            except (NameError, TypeError):
                hints = {}
            yield key, Any if parameter.annotation is parameter.empty else hints.get(key, Any)
