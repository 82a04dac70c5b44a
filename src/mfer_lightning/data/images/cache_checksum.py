"""Checksum at the end of a cache file, to verify that its images are intact."""

from __future__ import annotations

import os
import time
import zlib
from pathlib import Path

#: Mark after the array. NumPy maps the array without reading what follows it.
_MARK = b"mfer-crc32 "
#: The mark, eight hexadecimal digits, a space, and nineteen digits of nanoseconds.
_LENGTH = len(_MARK) + 28
_CHUNK = 1 << 24

#: Files of at least this many bytes are verified only if modified after writing, because reading them takes seconds.
ALWAYS_BELOW = 1 << 30


def seal(path: Path) -> None:
    """Append the CRC-32 of a file and the current time, and set the modification time of the file to the same value.

    Args:
        path: a complete file without a checksum.
    """
    checksum, now = _crc32(path, path.stat().st_size), time.time_ns()
    with path.open("ab") as file:
        file.write(_MARK + f"{checksum:08x} {now:019d}".encode())
    os.utime(path, ns=(now, now))


def is_intact(path: Path) -> bool:
    """Whether a file is unchanged since :func:`seal`; False if it has no checksum.

    For files of :data:`ALWAYS_BELOW` bytes or more, an unchanged modification time is sufficient.
    """
    size = path.stat().st_size - _LENGTH
    if size < 0:
        return False
    with path.open("rb") as file:
        file.seek(size)
        end = file.read()
    if not end.startswith(_MARK):
        return False
    stated, _, written = end.removeprefix(_MARK).partition(b" ")
    untouched = written.isdigit() and path.stat().st_mtime_ns == int(written)
    return (untouched and size >= ALWAYS_BELOW) or f"{_crc32(path, size):08x}".encode() == stated


def _crc32(path: Path, size: int) -> int:
    checksum = 0
    with path.open("rb") as file:
        while size > 0 and (chunk := file.read(min(_CHUNK, size))):
            checksum, size = zlib.crc32(chunk, checksum), size - len(chunk)
    return checksum
