"""Find the bundled model named by ``weights``, and the options that build a network like it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from mfer_lightning.bundled.registry import BundledModel, find_bundled
from mfer_lightning.config.chosen import PARTS, is_peer, name_of
from mfer_lightning.config.options import group_options

#: Options left out: ``name``, which is the choice itself, and those that do not affect the compatibility of weights.
_OTHER = ("name", "drop_path_rate", "colour")


def bundled_weights(weights: str) -> BundledModel | None:
    """Return the bundled model of this name; None if there is none, or a file or folder has this name."""
    return None if Path(weights).expanduser().exists() else find_bundled(weights)


def fitting_options(model: BundledModel) -> str:
    """Return the options of ``mfer train`` that build the same network as a bundled model, quoted for a shell.

    Returns:
        ``"backbone=... attention=..."``; empty if the model has no training configuration, or is not an MFER network.
    """
    config = model.description().get("config")
    if not isinstance(config, Mapping) or is_peer(config):
        return ""
    return " ".join(word for part in (*PARTS, "preprocess") for word in _options(config, part))


def _options(config: Mapping[str, Any], part: str) -> Iterator[str]:
    node = config.get(part)
    if not isinstance(node, Mapping):
        return
    usual: dict[str, Any] = {}
    if isinstance(node.get("name"), str):
        choice = name_of(config, part)
        yield f"{part}={choice}"
        usual = {name: yaml.safe_load(str(option.default)) for name, option in group_options(part, choice).items()}
    for key, value in node.items():
        name = f"{part}.{key}"
        if key not in _OTHER and value is not None and usual.get(name) != value and "${" not in str(usual.get(name)):
            yield f"{name}={value}" if isinstance(value, (int, float, str)) else f"'{name}={_plain(value)}'"


def _plain(value: Any) -> str:
    """Format a mapping or a list in Hydra's grammar."""
    return json.dumps(value, separators=(",", ":")).replace('"', "")
