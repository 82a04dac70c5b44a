"""Types of the options of ``mfer export``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

from mfer_lightning.config.schema_evaluate import Places, Reading

# OmegaConf reads these annotations at run time; Optional is the spelling that it knows on every Python we support.
# ruff: noqa: UP045


@dataclass
class Export:
    """Everything that ``mfer export`` reads."""

    checkpoint: Optional[str] = None
    format: str = "safetensors"
    output: Optional[str] = None
    replace: bool = False
    quantize: str = "none"
    faces: int = 256
    paths: Places = field(default_factory=Places)
    loader: Reading = field(default_factory=Reading)
