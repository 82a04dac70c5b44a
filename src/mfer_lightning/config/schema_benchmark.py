"""Types of the options of ``mfer benchmark``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

# OmegaConf reads these annotations at run time; Optional is the spelling that it knows on every Python we support.
# ruff: noqa: UP045


@dataclass
class Benchmark:
    """Everything that ``mfer benchmark`` reads."""

    parts: Any = "all"
    device: str = "auto"
    backbone: str = "convnext_base"
    options: dict[str, Any] = field(default_factory=dict)
    size: int = 224
    batch: Any = "auto"
    precision: str = "auto"
    baselines: Any = "auto"
    compile: bool = False
    gemm: Optional[int] = None
    repeats: int = 5
    threads: Optional[int] = None
    workers: Optional[int] = None
    faces: int = 2048
    steps: int = 100
    output: Optional[str] = None
