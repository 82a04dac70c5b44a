"""Call every part of a run by the choice that was typed, ``backbone=convnext_64px``, wherever its file calls it else.

A file's own name says what is built: ``convnext_64px`` builds timm's ``convnext_tiny`` with other options. The choices
whose names say something else are kept in the configuration under ``choices``; they change nothing of the run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mfer_lightning.config.options import group_options
from mfer_lightning.config.yaml_options import Option

#: Where a configuration holds them.
CHOICES = "choices"
#: A group of recipes that set other groups' options: it has no options of its own, and no name beside its choice.
RECIPE = "experiment"
#: The groups that make up ``network=mfer`` and no other network.
PARTS = ("backbone", "attention", "head")


def choices_to_keep(
    config: Mapping[str, Any], chosen: Mapping[str, str | None], overrides: Sequence[str]
) -> dict[str, str]:
    """Find the choices that the configuration itself does not name.

    Args:
        config: plain configuration of ``mfer train``.
        chosen: group -> choice, as Hydra composed them.
        overrides: of the command line; a part whose own name was typed (``backbone.name=resnet18d``) keeps that.

    Returns:
        Group -> choice, where the part is called otherwise; and the experiment.
    """
    kept: dict[str, str] = {}
    for group, choice in chosen.items():
        node = config.get(group)
        if group == RECIPE and choice:
            kept[group] = choice
        if not choice or not isinstance(node, Mapping) or not isinstance(node.get("name"), str):
            continue
        own = group_options(group, choice).get(f"{group}.name", Option(node["name"])).default
        typed = any(o.lstrip("+").startswith(f"{group}.name=") for o in overrides)
        if choice != node["name"] and own == node["name"] and not typed:
            kept[group] = choice
    return kept


def name_of(config: Mapping[str, Any], group: str) -> str:
    """Name a part of a run by its choice, or else by its own name without what stands before a slash.

    A whole network (``network=dan``) stands in the place of the backbone.

    Args:
        config: plain configuration, in use or stored.
        group: e.g. ``"backbone"``.

    Example:
        >>> config = {"backbone": {"name": "convnext_tiny"}, "loss": {"name": "ce"}}
        >>> name_of({**config, "choices": {"backbone": "convnext_64px"}}, "backbone"), name_of(config, "backbone")
        ('convnext_64px', 'convnext_tiny')
    """
    if group == "backbone" and is_peer(config):
        group = "network"
    return str(kept_choices(config).get(group) or config[group]["name"]).rpartition("/")[2]


def is_peer(config: Mapping[str, Any]) -> bool:
    """Whether a configuration names another network than MFER, which is whole: it has no backbone to choose.

    Example:
        >>> is_peer({"network": {"name": "dan"}}), is_peer({"network": {"name": "mfer"}}), is_peer({})
        (True, False, False)
    """
    network = config.get("network")
    return isinstance(network, Mapping) and network.get("name", "mfer") != "mfer"


def kept_choices(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the choices that a configuration keeps; none where it has none, as runs of earlier versions."""
    found = config.get(CHOICES)
    return found if isinstance(found, Mapping) else {}
