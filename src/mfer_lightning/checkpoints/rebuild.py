"""Build the network and the preprocessing from the description in a checkpoint or an export."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mfer_lightning.checkpoints import file_checks
from mfer_lightning.confidence import Confidence
from mfer_lightning.config.former_values import with_former_attention
from mfer_lightning.config.instantiate import LIBRARIES, check_allowed
from mfer_lightning.config.plugins import missing_plugins
from mfer_lightning.errors import UserError, excerpt
from mfer_lightning.nn.adapter import merge_adapter
from mfer_lightning.nn.base import Network
from mfer_lightning.nn.networks import build_network as build_described
from mfer_lightning.nn.preprocess import Preprocess
from mfer_lightning.plurals import counted
from mfer_lightning.views import Views

#: Entries that a checkpoint or an export must have.
REQUIRED = ("format", "class_names", "network", "preprocess")

#: The newest format supported by this version.
NEWEST_FORMAT = 1


def check_description(description: Mapping[str, Any], source: Path) -> None:
    """Reject a description that is not plain data, lacks an entry, or has a newer format or a forbidden ``_target_``.

    Args:
        description: the ``mfer`` entry of a checkpoint, or the content of an export's ``config.json``.
        source: the file, for messages.

    Raises:
        UserError: if the description is rejected.
    """
    file_checks.check_plain(description, source)
    missing = [key for key in REQUIRED if key not in description]
    if missing:
        raise UserError(f"{source} does not describe a model: {', '.join(missing)} missing.")
    if type(description["format"]) is not int or description["format"] > NEWEST_FORMAT:
        raise UserError(
            f"{source} has format {excerpt(description['format'])}; this version reads up to {NEWEST_FORMAT}. "
            "Install a newer mfer_lightning."
        )
    for stored in ("config", "datamodule"):
        check_targets(description.get(stored), source)
    file_checks.check_class_names(description["class_names"], source)
    with _explained(description, source):
        Views.of_metadata(description)
        Confidence.of_metadata(description)


def build_network(description: Mapping[str, Any], weights: Mapping[str, Tensor], source: Path) -> Network:
    """Build the network of a checked description, with its weights in float32.

    Shapes are compared before memory is allocated, so a file cannot request more memory for weights than it contains.

    Args:
        description: a description checked by :func:`check_description`.
        weights: name in the network -> tensor; names and shapes must be exactly those of the network, or of the network
            with an adapter, which is merged.
        source: the file, for messages.

    Raises:
        UserError: if the weights do not match the description, or are not finite.
    """
    file_checks.check_weights(weights, source)
    weights = merge_adapter(weights)
    names, config = description["class_names"], description["network"]
    if not isinstance(config, Mapping) or config.get("num_classes") != len(names):
        raise UserError(
            f"{source} does not describe a model: it has {counted(len(names), 'class name')}, but its network is "
            f"{excerpt(config)}."
        )
    config = with_former_attention(config)  # networks saved before these options existed used the former defaults
    file_checks.check_numbers(config, source)
    if "image_size" not in config and isinstance(description["preprocess"], Mapping):  # from an earlier version
        config = {**config, "image_size": description["preprocess"].get("size")}
    with _explained(description, source):
        with torch.device("meta"), file_checks.parts_at_most(len(weights), source):
            network = build_described(config)
        file_checks.check_fit(network.state_dict(), weights, source)
        if file_checks.check_tables(network, source):  # non-persistent buffers are not stored: build again
            network = build_described(config)
    file_checks.check_finite(weights, source)
    network.load_state_dict({name: _own(weight) for name, weight in weights.items()}, assign=True)
    return network


def build_preprocess(description: Mapping[str, Any], source: Path) -> Preprocess:
    """Build the preprocessing of a checked description.

    Args:
        description: a description checked by :func:`check_description`.
        source: the file, for messages.

    Raises:
        UserError: if its preprocessing is malformed or out of range.
    """
    if not isinstance(description["preprocess"], Mapping):
        held = excerpt(description["preprocess"])
        raise UserError(f"{source} does not describe a model: its preprocessing is {held}.")
    file_checks.check_numbers(description["preprocess"], source, "preprocess")
    with _explained(description, source):
        # Checkpoints saved before `grey` existed do not record that FERPlus is greyscale.
        return Preprocess.from_config({"grey": description.get("dataset") == "ferplus", **description["preprocess"]})


def unlike_attention(description: Mapping[str, Any], network: object) -> str | None:
    """Describe how the attention of a checkpoint and of a network differ in options that do not affect tensor shapes.

    Args:
        description: the ``mfer`` entry of a checkpoint.
        network: the network that will receive its weights.

    Returns:
        E.g. ``"norm_eps 1e-06 (here 1e-05)"``; None if they agree, or if either has no attention of this package.
    """
    parts = (description.get("network"), getattr(network, "config", None))
    stored, own = (
        with_former_attention(part).get("attention") if isinstance(part, Mapping) else None for part in parts
    )
    if not isinstance(stored, Mapping) or not isinstance(own, Mapping):
        return None
    shared = [name for name in ("norm_eps", "norm_order", "residual") if name in stored and name in own]
    return ", ".join(f"{n} {stored[n]} (here {own[n]})" for n in shared if stored[n] != own[n]) or None


def network_weights(state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """Select the weights of the network from the ``state_dict`` of a checkpoint, under their names in the network."""
    return {
        name.removeprefix("network."): value for name, value in state_dict.items() if str(name).startswith("network.")
    }


def check_targets(config: Any, source: Path, libraries: Sequence[str] = ()) -> None:
    """Reject a stored configuration with a ``_target_`` outside the whitelist, even though it would never be called.

    The names are compared with the whitelist without importing anything, because importing the classes of datasets
    would import Lightning, which prediction does not need.

    Args:
        config: the configuration, or a part of it.
        source: the file, for the message.
        libraries: modules that this part may name in addition to the whitelist.

    Raises:
        UserError: if a target is not allowed.
    """
    if isinstance(config, Mapping):
        for key, value in config.items():
            if key == "_target_":
                if str(value).rpartition(".")[0] not in libraries:
                    check_allowed(str(value), f"the configuration stored in {source}")
            else:
                check_targets(value, source, libraries or LIBRARIES.get(key, ()))
    elif isinstance(config, (list, tuple)):
        for value in config:
            check_targets(value, source, libraries)


@contextmanager
def _explained(description: Mapping[str, Any], source: Path) -> Iterator[None]:
    """Convert errors that a class raises about its arguments to user errors that name the file."""
    try:
        yield
    except (UserError, TypeError, ValueError, AttributeError, RuntimeError, AssertionError) as error:
        message = f"{error}{missing_plugins(description.get('config'))}"
        raise UserError(message if str(source) in message else f"{source} cannot be used: {message}") from error


def _own(weight: Tensor) -> Tensor:
    """Copy a weight from its file, converting floating-point weights to float32."""
    return weight.to(torch.float32, copy=True) if weight.is_floating_point() else weight.clone()
