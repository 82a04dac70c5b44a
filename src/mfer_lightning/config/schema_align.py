"""Types of the options of ``mfer align``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

from omegaconf import MISSING

# OmegaConf reads these annotations at run time; Optional is the spelling that it knows on every Python we support.
# ruff: noqa: UP045


@dataclass
class Align:
    """Everything that ``mfer align`` reads."""

    source: str = MISSING
    output: str = MISSING
    template: str = "face-evolve-112"
    size: Optional[int] = None
    margin: float = 0.0
    faces: str = "largest"
    no_face: str = "skip"
    refine: int = 2
    border: str = "black"
    detector: dict[str, Any] = field(default_factory=lambda: {"name": "mtcnn"})
    format: str = "jpg"
    quality: int = 95
    workers: int = 0
    retry: bool = False
