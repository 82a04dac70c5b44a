"""Build the training method of a configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from mfer_lightning.config.instantiate import instantiate, takes
from mfer_lightning.errors import UserError
from mfer_lightning.methods import Baseline, Method


def build_method(
    config: Mapping[str, Any],
    network: nn.Module,
    num_classes: int,
    num_faces: int,
    second: Callable[[], nn.Module] | None = None,
    teachers: Callable[[], Sequence[nn.Module]] = tuple,
) -> Method:
    """Build the method, with the sizes and networks that its arguments require.

    Args:
        config: plain resolved configuration; the baseline is used if it has no ``method``, as in earlier versions.
        network: the network to train.
        num_classes: K.
        num_faces: number of rows in the dataset's table.
        second: builds a network like ``network``, with its own weights.
        teachers: loads the models in ``method.teachers``.

    Raises:
        UserError: if an option is not legal, or is not supported with a second network.
    """
    if "method" not in config:
        return Baseline()
    node: dict[str, Any] = dict(config["method"])
    available: dict[str, Any] = {}
    if node.pop("teachers", None) is not None:  # paths
        available["teachers"] = teachers()
    if second is not None and takes(node, "peer", "method"):
        _check_second(config)
        available["peer"] = second()
    method: Method = instantiate(
        node,
        where="method",
        base=Method,
        num_classes=num_classes,
        feature_dim=int(network.feature_dim),  # type: ignore[arg-type]
        num_faces=num_faces,
        seed=config["seed"],
        **available,
    )
    return method


def _check_second(config: Mapping[str, Any]) -> None:
    """Reject options that apply to the first network only."""
    for group in ("adapter", "freeze"):
        if config[group]["name"] != "none":
            raise UserError(
                f"method={config['method'].get('name', '...')} trains two complete networks, but "
                f"{group}={config[group]['name']} changes only one of them. Use {group}=none."
            )
