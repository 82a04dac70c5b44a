"""Read checkpoints without executing code that they may contain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from mfer_lightning.errors import UserError
from mfer_lightning.nn.weights.safety import check_archive


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint written by this package.

    Only tensors and plain values are unpickled (``weights_only``); a file with anything else is rejected. The file is
    memory-mapped, so only the parts in use take up memory.

    Args:
        path: a ``.ckpt`` file.

    Returns:
        The checkpoint: ``state_dict``, ``mfer`` (format, class names, network, preprocessing, protocol, ...) and more.

    Raises:
        UserError: if the file is missing, damaged, unsafe or from another program.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise UserError(f"No checkpoint at {path}. Runs store them in <run>/checkpoints/: best.ckpt and last.ckpt.")
    check_archive(path)
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:
        raise UserError(
            f"{path} cannot be read as a checkpoint: it is damaged, or contains objects other than tensors and plain "
            f"values, which are never loaded because they could execute code ({type(error).__name__})."
        ) from error
    parts = checkpoint if isinstance(checkpoint, dict) else {}
    if not all(isinstance(parts.get(key), dict) for key in ("mfer", "state_dict")):
        raise UserError(
            f"{path} is not a checkpoint of mfer_lightning: it does not have the entries `mfer` and `state_dict`."
        )
    return checkpoint
