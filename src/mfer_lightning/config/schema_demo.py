"""Types of the options of ``mfer demo``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from omegaconf import MISSING

# OmegaConf reads these annotations at run time; Optional is the spelling that it knows on every Python we support.
# ruff: noqa: UP045


@dataclass
class Demo:
    """Everything that ``mfer demo`` reads."""

    checkpoint: str = MISSING
    explain: bool = True
    device: str = "auto"
    host: str = "127.0.0.1"
    port: Optional[int] = None
    open: bool = False
    max_pixels: int = 64_000_000
