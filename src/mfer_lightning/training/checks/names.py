"""Check that every choice of a configuration says its name, which messages, run folders and reports use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mfer_lightning.errors import UserError, excerpt

#: Groups of choices whose files say a ``name``.
NAMED = (
    *("dataset", "backbone", "attention", "head", "network", "loss", "method", "augment", "mixup"),
    *("optimizer", "scheduler", "adapter"),
)


def check_names(config: Mapping[str, Any]) -> None:
    """Reject a choice without a name, as a YAML file of one's own may be.

    Args:
        config: plain resolved configuration of ``mfer train``.

    Raises:
        UserError: naming the group.
    """
    for group in NAMED:
        node = config.get(group)
        if isinstance(node, Mapping) and not (isinstance(node.get("name"), str) and node["name"]):
            raise UserError(
                f"{group}.name={excerpt(node.get('name'))}: each choice has a name in words. Say `name: my_choice` in "
                f"its YAML file, as the files in conf/{group}/ do."
            )
