"""Apply the defaults of the first version to the current configuration of a command."""

from __future__ import annotations

from typing import Any

FORMER = ("attention.norm_eps=1e-6", "attention.init=torch")
#: Further former defaults of the released script's recipes.
FORMER_SCRIPT = ("augment=paper", "optimizer.weight_decay=0.05")


def with_former_defaults(config: dict[str, Any], command: str) -> dict[str, Any]:
    """Apply :data:`FORMER`, and for the script's recipes :data:`FORMER_SCRIPT`, to a composed configuration."""
    changed = dict(config)
    if config["attention"]["name"] != "none":
        changed["attention"] = {**config["attention"], "norm_eps": 1e-6, "init": "torch"}
    if command.endswith("_script"):
        flip = {"_target_": "albumentations.HorizontalFlip", "p": 0.5}
        changed["augment"] = {"name": "paper", "flip": flip}
        changed["optimizer"] = {**config["optimizer"], "weight_decay": 0.05}
    return changed
