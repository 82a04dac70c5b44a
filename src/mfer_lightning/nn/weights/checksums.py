"""Compare weights with the checksums in their file, so that corrupted files are rejected."""

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
    """Reject tensors whose bytes differ from those that ``torch.save`` wrote.

    A file written by ``torch.save`` is a zip archive with a CRC-32 of each storage, which ``torch.load`` does not
    check. Only the storages of the given tensors are read. zlib computes a CRC-32 at about 4 GB/s.

    Args:
        path: the file that the tensors were loaded from. Files in torch's format before 1.6 have no checksums and are
            not checked.
        tensors: on the CPU, unchanged since loading.

    Raises:
        UserError: if a tensor differs from what was written.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        written = {(member.file_size, member.CRC) for member in archive.infolist()}
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage() for t in tensors if t.untyped_storage().nbytes()}
    with ThreadPoolExecutor(_THREADS) as threads:  # zlib releases the GIL
        found = set(threads.map(_checksum, storages.values()))
    if not found <= written:
        raise UserError(
            f"{path} is damaged: its tensors do not match the checksums in the file. Copy the file "
            "again, or use another one."
        )


def _checksum(storage: torch.UntypedStorage) -> tuple[int, int]:
    """Return the number of bytes and their CRC-32, as a zip archive lists them."""
    content = torch.empty(0, dtype=torch.uint8).set_(storage).numpy()
    return content.nbytes, zlib.crc32(content.data)
