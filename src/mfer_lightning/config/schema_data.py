"""Types of the options of ``mfer data``; whatever ``mfer train`` takes may stand beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

# OmegaConf reads these annotations at run time; Optional is the spelling that it knows on every Python we support.
# ruff: noqa: UP045


@dataclass
class Data:
    """The doctor's own options."""

    images: str = "all"
    sheet: Optional[str] = None
    shared: Optional[str] = None
    faces: int = 12
    json: bool = False
