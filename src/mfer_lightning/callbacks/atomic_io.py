"""Checkpoints that appear whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from mfer_lightning.files import atomic_path


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write each checkpoint beside its place, bring it to the disk, and move it there in one step.

    Lightning's own way builds the file in the system's temporary folder, which may be another file system, where a move
    is a copy that a killed process leaves half done; and it holds a second copy of the checkpoint in memory.
    """

    def save_checkpoint(
        self, checkpoint: Mapping[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint.

        Raises:
            UserError: where the disk is full or the folder cannot be written to.
        """
        with atomic_path(path) as temporary:
            torch.save(dict(checkpoint), temporary)
