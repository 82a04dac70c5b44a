"""Find the checkpoint of a run, the run of a checkpoint, and the folder of a bundled model by its name."""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path

from mfer_lightning.bundled.registry import find_bundled, names_in_words, precedence_note
from mfer_lightning.checkpoints.read import read_checkpoint as read_checkpoint
from mfer_lightning.errors import UserError


def model_path(where: str | PathLike[str]) -> Path:
    """Return the path of a model that is given by a path or by the name of a bundled model.

    If a file or folder has the name of a bundled model, the file or folder is used, and a note is printed.

    Raises:
        UserError: if a bundled model is damaged.
        ValueError: if ``where`` is a network, or anything else that is not a path.
    """
    if not isinstance(where, (str, PathLike)):
        raise ValueError(
            "Expected the model to be a run, or the path of a run's folder, a checkpoint or an export, but got "
            f"{type(where).__name__}. If it is a module, save it first with trainer.save_checkpoint(path)."
        )
    path = Path(where).expanduser()
    bundled = find_bundled(str(where))
    if bundled is None:
        return path
    if not path.exists():
        return bundled.checked()
    print(f"Note: {precedence_note(str(where), 'checkpoint')}", flush=True)
    return path.absolute()


def checkpoint_path(where: str | PathLike[str]) -> Path:
    """Find the checkpoint file of a run.

    Args:
        where: a run's folder (for its selected checkpoint: ``best.ckpt``, or ``last.ckpt`` if the protocol selects the
            last epoch), a run's ``checkpoints`` folder, or a checkpoint file.

    Returns:
        The file, which exists.

    Raises:
        UserError: if there is none.
        ValueError: as in :func:`model_path`.
    """
    path = model_path(where)
    if path.is_file():
        return path
    if not path.is_dir():
        hint = (
            f"There is no {path}. Give a run's folder (runs/<run>) or a checkpoint file (<run>/checkpoints/best.ckpt)."
        )
        raise UserError(f"{hint} {names_in_words()}".rstrip())
    folder = path if path.name == "checkpoints" else path / "checkpoints"
    names = ("last.ckpt", "best.ckpt") if _takes_last(folder.parent) else ("best.ckpt", "last.ckpt")
    for name in names:
        if (folder / name).is_file():
            return folder / name
    runs = sorted(f.parent.parent.name for f in path.glob("*/checkpoints/best.ckpt"))
    hint = f" It contains the runs {', '.join(runs[:5])}. Name one of them." if runs else ""
    raise UserError(f"{path} contains no checkpoint (checkpoints/best.ckpt).{hint}")


def run_folder(checkpoint: Path) -> Path | None:
    """Return the folder of the run that a checkpoint file belongs to, or None if it is elsewhere."""
    run = checkpoint.parent.parent
    return run if checkpoint.parent.name == "checkpoints" and (run / "config.yaml").is_file() else None


def _takes_last(run: Path) -> bool:
    """Whether the run's protocol selects the last epoch; False for an unfinished run, which has no result yet."""
    try:
        return json.loads((run / "result.json").read_text(encoding="utf-8"))["selection"]["split"] is None
    except (OSError, ValueError, KeyError, TypeError):
        return False
