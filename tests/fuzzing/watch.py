"""Record the side effects of a call: files written, programs started and network connections."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
#: Audit events of file changes -> positions of the path arguments.
_CHANGES = {
    **dict.fromkeys(("os.mkdir", "os.remove", "os.rmdir", "os.truncate"), (0,)),
    **dict.fromkeys(("os.rename", "os.link", "os.symlink"), (0, 1)),
}
_OUTSIDE = frozenset(
    ["subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "socket.connect", "socket.getaddrinfo"]
)
#: Compiled Python modules, and paths that are not files.
_HARMLESS = (".pyc", "/dev/null", "/dev/tty")

_seen: list[str] | None = None
_allowed: tuple[str, ...] = ()


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _seen is None:
        return
    if event == "open":
        path, _, flags = arguments
        if isinstance(flags, int) and flags & _WRITING:
            _note("wrote", path)
    elif event in _CHANGES:
        inside = arguments[-1] not in (-1, None) and event != "os.truncate"  # relative to an open folder
        for number in _CHANGES[event]:
            if isinstance(arguments[number], int):
                continue  # an open file descriptor
            path = Path(os.fsdecode(arguments[number]))
            made = event == "os.mkdir" and path.is_dir()  # exists already
            if not made and (not inside or path.is_absolute()):
                _note(event, arguments[number])
    elif event in _OUTSIDE:
        assert _seen is not None
        _seen.append(f"{event} {arguments!r}"[:300])


def _note(what: str, path: Any) -> None:
    if not isinstance(path, (str, bytes, os.PathLike)):
        return  # an open file descriptor
    name = os.path.realpath(os.fsdecode(path))
    harmless = name.endswith(_HARMLESS) or "__pycache__" in name or ".pyc." in name
    if not harmless and not any(name == place or name.startswith(f"{place}{os.sep}") for place in _allowed):
        assert _seen is not None
        _seen.append(f"{what} {name}")


sys.addaudithook(_hook)  # cannot be removed from the process; does nothing unless something is watched


@contextmanager
def watched(allowed: Sequence[Path]) -> Iterator[list[str]]:
    """Collect what Python does outside the allowed folders within the block.

    Args:
        allowed: writable folders.

    Yields:
        A list with one line per file written, moved or removed, program started, and connection opened.
    """
    global _seen, _allowed  # read by the audit hook, which is added once per process
    found: list[str] = []
    _seen, _allowed = found, tuple(os.path.realpath(place) for place in allowed)
    try:
        yield found
    finally:
        _seen = None


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """List the files below a folder with size and modification time, to detect files written by compiled code."""
    return {str(f): (s.st_size, s.st_mtime_ns) for f in folder.rglob("*") if (s := f.lstat()) and not f.is_dir()}
