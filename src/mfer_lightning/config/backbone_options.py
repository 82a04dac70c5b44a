"""Leave out the options of a backbone's file where ``backbone.name`` names a network of another family."""

from __future__ import annotations

import re
from typing import Any

import yaml

from mfer_lightning.config.options import group_options
from mfer_lightning.config.yaml_options import Option


def without_other_family(backbone: dict[str, Any], choice: str) -> dict[str, Any]:
    """Reset what belongs to the chosen file's network and to no other.

    ``dataset=facs`` chooses a ConvNeXt with depths and widths of its own, which timm takes for no ResNet.

    Args:
        backbone: composed node ``backbone``.
        choice: the file of ``conf/backbone/`` that it began with.

    Returns:
        The node; of its ``options`` those that the command line has changed where the family is another, else all.

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
