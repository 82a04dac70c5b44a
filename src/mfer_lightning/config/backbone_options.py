"""Drop the options of a backbone file if ``backbone.name`` selects a network of a different family."""

from __future__ import annotations

import re
from typing import Any

import yaml

from mfer_lightning.config.options import group_options
from mfer_lightning.config.yaml_options import Option


def without_other_family(backbone: dict[str, Any], choice: str) -> dict[str, Any]:
    """Remove the options that apply only to the network of the selected file.

    For example, ``dataset=facs`` selects a ConvNeXt with special depths and widths, which a ResNet does not accept.

    Args:
        backbone: composed node ``backbone``.
        choice: the file in ``conf/backbone/`` that the node was composed from.

    Returns:
        The node. If ``backbone.name`` is of a different family from that of the file, its ``options`` no longer contain
        the values from the file.

    Example:
        >>> node = {"name": "resnet18d", "options": {"ls_init_value": 1.0, "block_args": {}}}
        >>> without_other_family(node, "convnext_64px")["options"]
        {'block_args': {}}
    """
    file = group_options("backbone", choice)
    own = str(file.get("backbone.name", Option("")).default)
    family = re.match(r"[a-z]*", own)
    if not family or str(backbone["name"]).rpartition("/")[2].startswith(family[0]):
        return backbone
    brought = yaml.safe_load(str(file.get("backbone.options", Option("{}")).default)) or {}
    kept = {key: value for key, value in backbone["options"].items() if key not in brought or brought[key] != value}
    return {**backbone, "options": kept}
