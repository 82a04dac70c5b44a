"""Reject a configuration that cannot work, each rule in one place.

A class checks its own arguments. What no class can know is here: single values (``values``), pairs of options
(``combinations``), this machine (``hardware``). ``trial_build`` builds the parts without data, so that what the classes
refuse is known before any data are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mfer_lightning.config.chosen import CHOICES
from mfer_lightning.config.schema import Train, check_known
from mfer_lightning.tracking.loggers import check_loggers
from mfer_lightning.training.checks.combinations import check_combinations
from mfer_lightning.training.checks.hardware import check_hardware
from mfer_lightning.training.checks.values import check_values

__all__ = ["check_config"]


def check_config(config: Mapping[str, Any]) -> None:
    """Reject what can be seen to be wrong without building anything.

    Args:
        config: plain resolved configuration of ``mfer train``.

    Raises:
        UserError: naming the option, its value, what is legal and what to do.
    """
    check_known({name: value for name, value in config.items() if name != CHOICES}, Train)
    check_values(config)
    check_loggers(config["logger"])
    check_combinations(config)
    check_hardware(config)
