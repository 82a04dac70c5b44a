"""Types of the options of ``mfer evaluate``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

# OmegaConf reads these annotations at run time; Optional is the spelling that it knows on every Python we support.
# ruff: noqa: UP045


@dataclass
class Places:
    """Where things are."""

    data: Optional[str] = None
    runs: str = "runs"
    cache: Optional[str] = None


@dataclass
class Reading:
    """How faces are read."""

    eval_batch_size: int = 64
    num_workers: int = 2


@dataclass
class Figures:
    """What is drawn."""

    embedding_points: int = 1500


@dataclass
class Robustness:
    """What the robustness suite measures."""

    limit: Optional[int] = None
    kinds: Optional[list[str]] = None
    batch: bool = True
    border: str = "black"
    seed: int = 0


@dataclass
class Explain:
    """Which faces are explained, and how."""

    choice: str = "mistakes"
    rows: Optional[list[int]] = None
    count: int = 16
    target: str = "predicted"
    stage: Optional[int] = None
    method: str = "gradcam"
    channels: int = 4


@dataclass
class Evaluate:
    """Everything that ``mfer evaluate`` reads."""

    checkpoint: Optional[str] = None
    predictions: Optional[str] = None
    dataset_name: Optional[str] = None
    suite: str = "standard"
    split: str = "test"
    drop: list[str] = field(default_factory=list)
    flip: Optional[bool] = None
    shift: Optional[float] = None
    calibrate: bool = False
    device: str = "auto"
    output: Optional[str] = None
    paths: Places = field(default_factory=Places)
    loader: Reading = field(default_factory=Reading)
    evaluation: Figures = field(default_factory=Figures)
    robustness: Robustness = field(default_factory=Robustness)
    lists: dict[str, Any] = field(default_factory=dict)
    explain: Explain = field(default_factory=Explain)
