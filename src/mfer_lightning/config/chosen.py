"""Refer to a part of a run by its configuration file (``backbone=convnext_64px``), not by the ``name`` in that file.

The ``name`` determines what is built: ``convnext_64px`` builds timm's ``convnext_tiny`` with other options. If the two
names differ, the choice of file is stored in the configuration under ``choices``. This has no effect on the run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mfer_lightning.config.options import group_options
from mfer_lightning.config.yaml_options import Option

#: Node of a configuration that stores the choices.
CHOICES = "choices"
#: A group of recipes that set options of other groups. It has no options of its own.
RECIPE = "experiment"
#: The groups that belong to ``network=mfer`` and to no other network.
PARTS = ("backbone", "attention", "head")


def choices_to_keep(
    config: Mapping[str, Any], chosen: Mapping[str, str | None], overrides: Sequence[str]
) -> dict[str, str]:
    """Return the choices that cannot be derived from the configuration.

    Args:
        config: plain configuration of ``mfer train``.
        chosen: group -> choice, as Hydra composed them.
        overrides: command-line overrides; if one sets a name (``backbone.name=resnet18d``), the choice is not
            kept.

    Returns:
        Group -> choice, for choices that differ from the name of their part, and for the experiment.
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
    """Return the name of a part of a run: its stored choice, or else its ``name``, without a prefix before a slash.

    For a complete network (``network=dan``), the name of the network is returned instead of that of the backbone.

    Args:
        config: plain configuration, current or stored.
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
    """Whether a configuration uses a network other than MFER, to which the groups in :data:`PARTS` do not apply.

    Example:
        >>> is_peer({"network": {"name": "dan"}}), is_peer({"network": {"name": "mfer"}}), is_peer({})
        (True, False, False)
    """
    network = config.get("network")
    return isinstance(network, Mapping) and network.get("name", "mfer") != "mfer"


def kept_choices(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the choices stored in a configuration; empty if there are none, as in runs of earlier versions."""
    found = config.get(CHOICES)
    return found if isinstance(found, Mapping) else {}
