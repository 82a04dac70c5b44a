"""Check that every choice of a configuration has a name, which messages, run folders and reports use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mfer_lightning.errors import UserError, excerpt

#: Groups whose files have a ``name``.
NAMED = (
    *("dataset", "backbone", "attention", "head", "network", "loss", "method", "augment", "mixup"),
    *("optimizer", "scheduler", "adapter"),
)


def check_names(config: Mapping[str, Any]) -> None:
    """Reject a choice without a name, for example from the user's own YAML file.

    Args:
        config: plain resolved configuration of ``mfer train``.

    Raises:
        UserError: if a name is missing; the message names the group.
    """
    for group in NAMED:
        node = config.get(group)
        if not isinstance(node, Mapping):
            continue
        name = node.get("name")
        if name == "":
            found = f"{group}.name= has no value"
        elif not isinstance(name, str):
            found = f"{group}.name={excerpt(name)} is not a name"
        else:
            continue
        raise UserError(
            f"{found}: every choice needs a name. Set one, or add `name: my_choice` to its YAML file, as the files "
            f"in conf/{group}/ do."
        )
