"""Find and read checkpoints without executing anything that they hold."""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path
from typing import Any

import torch

from mfer_lightning.errors import UserError
from mfer_lightning.nn.weights.safety import check_archive


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint that this package wrote.

    Only tensors and plain values are unpickled (``weights_only``); a file that holds anything else is refused. The file
    is memory-mapped, so that it takes no more memory than what is used of it.

    Args:
        path: a ``.ckpt`` file.

    Returns:
        The checkpoint: ``state_dict``, ``mfer`` (format, class names, network, preprocessing, protocol, ...) and more.

    Raises:
        UserError: where the file is missing, damaged, unsafe or from another program.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"No checkpoint at {path}. A run keeps them in <run>/checkpoints/: best.ckpt and last.ckpt.")
    check_archive(path)
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:
        raise UserError(
            f"{path} cannot be read as a checkpoint: it is damaged, or holds objects other than tensors and plain "
            f"values, which are never loaded because they could execute code ({type(error).__name__})."
        ) from error
    parts = checkpoint if isinstance(checkpoint, dict) else {}
    if not all(isinstance(parts.get(key), dict) for key in ("mfer", "state_dict")):
        raise UserError(f"{path} is not a checkpoint of mfer_lightning: it has no `mfer` entry.")
    return checkpoint


def checkpoint_path(where: str | PathLike[str]) -> Path:
    """Find the checkpoint file of a run.

    Args:
        where: a run's folder (its selected checkpoint is meant: ``best.ckpt``, or ``last.ckpt`` where the protocol
            takes the last epoch), a run's ``checkpoints`` folder, or a checkpoint file.

    Returns:
        The file, which exists.

    Raises:
        UserError: where there is none.
    """
    path = Path(where).expanduser()
    if path.is_file():
        return path
    if not path.is_dir():
        raise UserError(
            f"There is no {path}. Give a run's folder (runs/<run>) or a checkpoint file (<run>/checkpoints/best.ckpt)."
        )
    folder = path if path.name == "checkpoints" else path / "checkpoints"
    names = ("last.ckpt", "best.ckpt") if _takes_last(folder.parent) else ("best.ckpt", "last.ckpt")
    for name in names:
        if (folder / name).is_file():
            return folder / name
    runs = sorted(f.parent.parent.name for f in path.glob("*/checkpoints/best.ckpt"))
    hint = f" It holds the runs {', '.join(runs[:5])}: name one of them." if runs else ""
    raise UserError(f"{path} holds no checkpoint (checkpoints/best.ckpt).{hint}")


def run_folder(checkpoint: Path) -> Path | None:
    """Return the folder of the run that a checkpoint file belongs to, or None where it lies elsewhere."""
    run = checkpoint.parent.parent
    return run if checkpoint.parent.name == "checkpoints" and (run / "config.yaml").is_file() else None


def _takes_last(run: Path) -> bool:
    """Whether the run's protocol takes the last epoch. An unfinished run has no result yet: its best so far is used."""
    try:
        return json.loads((run / "result.json").read_text(encoding="utf-8"))["selection"]["split"] is None
    except (OSError, ValueError, KeyError, TypeError):
        return False
