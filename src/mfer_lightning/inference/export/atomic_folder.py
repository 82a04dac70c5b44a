"""Write a folder atomically."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mfer_lightning.errors import UserError
from mfer_lightning.files import replace_folder, write_error

#: Files that identify a folder as an export, which ``replace`` may remove.
MARKS = ("config.json", "model.onnx", "export.json")


@contextmanager
def atomic_folder(target: str | Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield a temporary folder next to ``target`` that is renamed to ``target`` if the block ends without an error.

    Args:
        target: the folder to create. It may exist if it is empty.
        replace: remove an earlier export there when the new one is complete.

    Yields:
        The folder to write into.

    Raises:
        UserError: if something exists there that must not be replaced, or the folder cannot be written.
    """
    target = Path(target).expanduser()
    check_free(target, replace=replace)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            dir=target.parent, prefix=f".{target.name}-", ignore_cleanup_errors=True
        ) as scratch:
            new, old = Path(scratch) / "new", Path(scratch) / "old"
            new.mkdir()
            yield new
            replace_folder(target, new, old)
    except OSError as error:
        raise write_error(f"write {target}", error, "choose another folder with output=<folder>") from error


def check_free(target: str | Path, *, replace: bool) -> None:
    """Reject a target that must not be replaced.

    Raises:
        UserError: if it must not be replaced; the message says what is there and what to do.
    """
    target = Path(target).expanduser()
    if target.is_symlink():
        raise UserError(f"{target} is a symbolic link. Name the folder itself with output=...")
    if target.exists() and not target.is_dir():
        raise UserError(f"{target} is a file. Name a folder with output=...")
    if not target.is_dir() or not any(target.iterdir()):
        return
    ours = any((target / mark).is_file() for mark in MARKS)
    if not replace:
        hint = "Replace the earlier export with replace=true, or name" if ours else "Name"
        raise UserError(f"{target} is not empty. {hint} another folder with output=...")
    if not ours or any(f.is_dir() for f in target.iterdir()):
        raise UserError(f"{target} contains files other than an export, so it is not replaced. Name another folder.")
