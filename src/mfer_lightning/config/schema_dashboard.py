"""Types of the options of ``mfer dashboard``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional

# OmegaConf reads these annotations at run time; Optional is the spelling that it knows on every Python we support.
# ruff: noqa: UP045


@dataclass
class Dashboard:
    """Everything that ``mfer dashboard`` reads."""

    runs: Any = None
    entity: Optional[str] = None
    project: Optional[str] = None
    title: Optional[str] = None
    output: Optional[str] = None
    publish: bool = False
