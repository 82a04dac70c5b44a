"""Write files atomically: a file appears complete or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mfer_lightning.errors import UserError

#: Temporary names of :func:`atomic_path`: a dot, the stem, a dash, eight characters from ``tempfile``, the suffix.
_TEMPORARY = re.compile(r"\..+-[a-z0-9_]{8}(\.\w+)?")
#: What to do about the errors of the operating system that the user can resolve.
_ADVICE = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "Free some space"),
    **dict.fromkeys((errno.EACCES, errno.EPERM), "Check the permissions"),
    errno.EROFS: "Make the disk writable",
}


def write_error(action: str, error: OSError, otherwise: str = "choose another folder") -> UserError:
    """Return the error for a file or folder that cannot be written, with advice that fits the cause.

    Args:
        action: what failed, e.g. ``"write runs/x/metrics.csv"``.
        error: the error of the operating system.
        otherwise: what the user can do instead, in the imperative.

    Example:
        >>> print(write_error("write a.txt", OSError(errno.ENOSPC, "Disk full")))
        Cannot write a.txt: Disk full. Free some space and repeat the same command, or choose another folder.
    """
    advice = f"{otherwise[0].upper()}{otherwise[1:]}"
    if error.errno in _ADVICE:
        advice = f"{_ADVICE[error.errno]} and repeat the same command, or {otherwise}"
    return UserError(f"Cannot {action}: {error.strerror or error}. {advice}.")


@contextmanager
def atomic_path(target: str | Path) -> Iterator[Path]:
    """Yield a temporary path next to ``target`` that is renamed to ``target`` when the block ends without an error.

    A reader sees either the old file or the complete new one, even if the process is killed while writing.

    Args:
        target: the file to write. Its folder is created if it is missing.

    Yields:
        The path to write to, with the same suffix as ``target``.

    Raises:
        UserError: if the folder cannot be created or written to, or the disk is full.

    Example:
        >>> folder = Path(tempfile.mkdtemp())
        >>> with atomic_path(folder / "a.txt") as path:
        ...     _ = path.write_text("whole")
        >>> (folder / "a.txt").read_text(), len(list(folder.iterdir()))
        ('whole', 1)
    """
    target = Path(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target, target.suffix) as temporary:
            yield temporary
    except OSError as error:
        raise write_error(f"write {target}", error) from error


@contextmanager
def replacing(target: Path, suffix: str) -> Iterator[Path]:
    """Like :func:`atomic_path`, but the folder must exist, and ``OSError`` is raised unchanged.

    Args:
        target: the file to write.
        suffix: suffix of the temporary path.

    Raises:
        OSError: if the file cannot be written.
    """
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.stem}-", suffix=suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp creates files that only the owner can read
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def replace_folder(target: Path, new: Path, old: Path) -> None:
    """Move the folder at ``target``, if there is one, to ``old``, and ``new`` to ``target``.

    If ``new`` cannot be moved, the previous folder is moved back to ``target``.

    Raises:
        OSError: if a folder cannot be moved.
    """
    if target.exists():
        target.replace(old)
    try:
        new.replace(target)
    except OSError:
        if old.exists():
            old.replace(target)
        raise


def make_folder(folder: str | Path) -> None:
    """Create a folder and its parents, if they are missing.

    Raises:
        UserError: if it cannot be created or written to.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(f"create the folder {folder}", error) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise write_error(f"write into the folder {folder}", PermissionError(errno.EACCES, os.strerror(errno.EACCES)))


def require_space(folder: str | Path, size: int, what: str) -> None:
    """Raise an error if the disk has too little free space.

    Args:
        folder: where to write; it or one of its parents exists.
        size: number of bytes needed.
        what: what is written, for the message, e.g. ``"the run"``.

    Raises:
        UserError: if less than ``size`` bytes are free.
    """
    place = Path(folder).absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < size:
        raise UserError(
            f"The disk is too full for {what}: it needs {said_bytes(size)}, and {place} has {said_bytes(free)} free. "
            "Free some space and repeat the same command, or choose another folder with paths.runs=..."
        )


def said_bytes(size: int) -> str:
    """Format a number of bytes as MB (10^6) or GB (10^9), with one decimal place.

    Example:
        >>> said_bytes(1_250_000_000), said_bytes(3_400_000), said_bytes(12)
        ('1.2 GB', '3.4 MB', '0.0 MB')
    """
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def remove_leftovers(folder: str | Path) -> list[Path]:
    """Remove the temporary files of :func:`atomic_path` that killed processes left behind.

    Call it only where no other process writes into the folder.

    Args:
        folder: searched recursively.

    Returns:
        The removed files.
    """
    left = [f for f in Path(folder).rglob(".*") if f.is_file() and _TEMPORARY.fullmatch(f.name)]
    for file in left:
        file.unlink(missing_ok=True)
    return left


def sha256_of(path: str | Path) -> str:
    """Compute the SHA-256 of a file, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def digests(folder: str | Path, names: Iterable[str]) -> dict[str, str]:
    """Compute the SHA-256 of files of one folder: name -> hexadecimal digits."""
    return {name: sha256_of(Path(folder) / name) for name in names}


def write_text(target: str | Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    with atomic_path(target) as path:
        path.write_text(text, encoding="utf-8")


def write_json(target: str | Path, value: Any) -> None:
    """Write a JSON file atomically, indented, without escaping non-ASCII characters.

    Raises:
        ValueError: for NaN and infinities, which JSON does not support; use ``None`` for an undefined number.
        UserError: if the file cannot be written.
    """
    write_text(target, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def changed_settings(stored: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Compare settings with those stored in an output folder; store them if there are none yet.

    Args:
        stored: the JSON file of the settings.
        settings: plain values.

    Returns:
        Name -> stored value of every setting that differs (None if it was not stored).

    Raises:
        UserError: if the file is damaged, or cannot be written.
    """
    if not stored.is_file():
        write_json(stored, dict(settings))
        return {}
    try:
        before = json.loads(stored.read_text(encoding="utf-8"))
        return {key: before.get(key) for key, value in settings.items() if before.get(key) != value}
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"{stored} is damaged. Choose another output folder, or delete this one.") from error


def drop_partial_line(path: Path) -> None:
    """Remove the last line of a text file if a killed process left it incomplete. The file may be missing."""
    if not path.is_file():
        return
    with path.open("r+b") as file:
        size = position = file.seek(0, os.SEEK_END)
        while position > 0:
            start = max(0, position - (1 << 16))
            file.seek(start)
            newline = file.read(position - start).rfind(b"\n")
            position = start + newline + 1 if newline >= 0 else start
            if newline >= 0:
                break
        if position != size:
            file.truncate(position)
