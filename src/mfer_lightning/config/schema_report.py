"""Types of the options of ``mfer report``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Optional

# OmegaConf reads these annotations at run time; Optional is the spelling that it knows on every Python we support.
# ruff: noqa: UP045


@dataclass
class Report:
    """Everything that ``mfer report`` reads."""

    runs: Any = None
    output: Optional[str] = None
    keep: Optional[str] = None
    title: Optional[str] = None
    baseline: Optional[str] = None
    metric: str = "accuracy"
    contrasts: Optional[str] = None
    axes: list[str] = field(default_factory=list)
    embedding: str = "tsne"
    embedding_points: int = 500
