"""Types of the options of ``mfer predict``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

from omegaconf import MISSING

# OmegaConf reads these annotations at run time; Optional is the spelling that it knows on every Python we support.
# ruff: noqa: UP045


@dataclass
class Video:
    """How videos and cameras are watched."""

    fps: Optional[float] = 5.0
    smooth: float = 0.5
    seconds: Optional[float] = None
    timelines: int = 12


@dataclass
class Predict:
    """Everything that ``mfer predict`` reads."""

    checkpoint: str = MISSING
    source: str = MISSING
    output: Optional[str] = None
    aligned: bool = False
    faces: str = "all"
    detector: dict[str, Any] = field(default_factory=dict)
    flip: Optional[bool] = None
    shift: Optional[float] = None
    annotate: bool = False
    retry: bool = False
    max_pixels: int = 64_000_000
    batch_size: int = 64
    workers: int = 0
    device: str = "auto"
    precision: str = "float32"
    video: Video = field(default_factory=Video)
