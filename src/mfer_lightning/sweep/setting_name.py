"""What a run is but for its seed, in a few words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mfer_lightning.sweep.identity import config_hash


def setting(config: Mapping[str, Any]) -> str:
    """Say in short what a run is, without its seed: runs of one setting differ in their seed alone.

    Args:
        config: plain resolved configuration of ``mfer train``.

    Returns:
        Loss, backbone and attention by name, and four hexadecimal digits for everything else.
    """
    parts = (config["loss"]["name"], config["backbone"]["name"].split("/")[-1], config["attention"]["name"])
    return " ".join((*parts, config_hash({**config, "seed": None})[:4]))
