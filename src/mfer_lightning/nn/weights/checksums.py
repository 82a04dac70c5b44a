"""Compare weights with the checksums in their file, so that a changed byte is refused and does not change answers."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor

from mfer_lightning.errors import UserError

_THREADS = 4


def check_storages(path: Path, tensors: Iterable[Tensor]) -> None:
    """Refuse tensors whose bytes are not those that ``torch.save`` wrote.

    A file of ``torch.save`` is a zip archive that holds a CRC-32 of each storage, which ``torch.load`` does not
    compare. Only the storages of the given tensors are read, which is what using them does anyway. (zlib computes
    some 4 GB/s.)

    Args:
        path: the file that the tensors were loaded from. One in torch's format of before 1.6 has no checksums: nothing
            is checked.
        tensors: on the CPU, unchanged since they were loaded.

    Raises:
        UserError: where one of them differs from what was written.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        written = {(member.file_size, member.CRC) for member in archive.infolist()}
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage() for t in tensors if t.untyped_storage().nbytes()}
    with ThreadPoolExecutor(_THREADS) as threads:  # zlib lets go of Python's lock
        found = set(threads.map(_checksum, storages.values()))
    if not found <= written:
        raise UserError(
            f"{path} is damaged: some of its numbers are not those that were written (a checksum differs). Copy the "
            "file anew, or take another one."
        )


def _checksum(storage: torch.UntypedStorage) -> tuple[int, int]:
    """Return the number of bytes and their CRC-32, as a zip archive lists them."""
    content = torch.empty(0, dtype=torch.uint8).set_(storage).numpy()
    return content.nbytes, zlib.crc32(content.data)
