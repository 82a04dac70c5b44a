"""The file of a table of predictions: ``predictions_<split>.csv``, or the same compressed, ``.csv.xz`` beside it."""

from __future__ import annotations

import io
import lzma
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from mfer_lightning.errors import UserError
from mfer_lightning.files import said_bytes

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

PACKED = ".xz"
#: A compressed table of 300,000 faces is a third of this; a few kilobytes of a hostile file could be terabytes.
MOST_BYTES = 100_000_000
#: What unpacking may take: a file says itself how much it needs, and ``xz -9`` needs half of this.
_MEMORY = 128 * 2**20
_CHUNK = 64 * 2**10
#: Of LZMA's settings those for text: no alignment, and four bits of the letter before.
_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 4, "lp": 0, "pb": 0}]


def table_at(path: str | Path) -> Path:
    """Say which file holds a table: the one that is named, or where it is absent the compressed one beside it."""
    path = Path(path)
    packed = path.with_name(path.name + PACKED)
    return packed if packed.is_file() and not path.exists() else path


def table_of(folder: str | Path, split: str) -> Path | None:
    """Find the predictions of a run's split, plain or compressed; None where there are none."""
    path = table_at(Path(folder) / f"predictions_{split}.csv")
    return path if path.is_file() else None


def table_name(path: str | Path) -> str:
    """Name a table without the suffixes of its file.

    Example:
        >>> table_name("runs/a/predictions_test.csv"), table_name("kept/a/predictions_test.csv.xz")
        ('predictions_test', 'predictions_test')
    """
    return Path(Path(path).name.removesuffix(PACKED)).stem


def open_table(path: Path) -> TextIO:
    """Open a table for reading, unpacked as it is read where its name ends on ``.xz``.

    Args:
        path: the file.

    Returns:
        Text for :mod:`csv`. Reading it raises ``OSError``, ``EOFError``, ``UnicodeDecodeError`` or ``lzma.LZMAError``
        where the file is damaged, and UserError where it unpacks to more than :data:`MOST_BYTES`.

    Raises:
        OSError: where it cannot be opened.
    """
    if path.suffix != PACKED:
        return path.open(encoding="utf-8-sig", newline="")
    return io.TextIOWrapper(io.BufferedReader(_Unpacked(path)), encoding="utf-8-sig", newline="")


def pack(text: str) -> bytes:
    """Compress a table; the same text gives the same bytes."""
    return lzma.compress(text.encode("utf-8"), format=lzma.FORMAT_XZ, filters=_FILTERS)


class _Unpacked(io.RawIOBase):
    """The content of an ``.xz`` file, read piece by piece, never more than is asked for."""

    def __init__(self, path: Path) -> None:
        self._path, self._read = path, 0
        self._file = path.open("rb")
        self._unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        while not self._unpacker.eof:
            packed = self._file.read(_CHUNK) if self._unpacker.needs_input else b""
            if not packed and self._unpacker.needs_input:
                raise EOFError("it was cut: the compressed data have no end")
            data = self._unpacker.decompress(packed, max_length=len(view))
            self._read += len(data)
            if self._read > MOST_BYTES:
                raise UserError(
                    f"The predictions {self._path} unpack to more than {said_bytes(MOST_BYTES)}, the most that is read "
                    "of a compressed table. If that is what you expect, unpack the file yourself (unxz)."
                )
            if data:
                view[: len(data)] = data
                return len(data)
        if self._unpacker.unused_data or self._file.read(1):
            raise lzma.LZMAError("something follows the end of the compressed data")
        return 0

    def close(self) -> None:
        self._file.close()
        super().close()
