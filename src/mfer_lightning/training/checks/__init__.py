"""Reject configurations that cannot work, with each rule in one place.

A class checks its own arguments. This package checks what no class can: names of choices (``names``), single
values (``values``), combinations of options (``combinations``) and this machine (``hardware``). ``trial_build`` builds
the parts without data, so that errors raised by the classes are found before any data are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mfer_lightning.config.chosen import CHOICES
from mfer_lightning.config.schema import Train, check_known
from mfer_lightning.tracking.loggers import check_loggers
from mfer_lightning.training.checks.combinations import check_combinations
from mfer_lightning.training.checks.hardware import check_hardware
from mfer_lightning.training.checks.names import check_names
from mfer_lightning.training.checks.values import check_values

__all__ = ["check_config"]


def check_config(config: Mapping[str, Any]) -> None:
    """Reject configurations that can be seen to be wrong without building anything.

    Args:
        config: plain resolved configuration of ``mfer train``.

    Raises:
        UserError: if a check fails; the message names the option, its value, the legal values and the remedy.
    """
    check_known({name: value for name, value in config.items() if name != CHOICES}, Train)
    check_names(config)
    check_values(config)
    check_loggers(config["logger"])
    check_combinations(config)
    check_hardware(config)
