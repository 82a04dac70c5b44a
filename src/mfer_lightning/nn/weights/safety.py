"""Reject compressed members and disallowed globals before torch opens a file.

``torch.load(weights_only=True)`` does not call arbitrary code, but it inflates compressed members, trusts the sizes in
the pickle, and may call a few constructors (such as ``bytearray``) that allocate any amount of memory.
"""

from __future__ import annotations

import pickletools
import zipfile
from pathlib import Path
from typing import IO

from mfer_lightning.errors import UserError
from mfer_lightning.nn.weights.pickle_copies import Copies

#: Pickles of real checkpoints are a few hundred kilobytes: names, shapes and the configuration.
MOST_PICKLE_BYTES = 64 << 20
#: Maximum number of elements that calls in a pickle may copy, which limits the memory of the copies to 1.5 GB
#: (measured: up to 180 bytes per element). Real checkpoints: a few per tensor.
MOST_COPIES = 8 << 20

_STORAGES = ("Float", "Half", "BFloat16", "Double", "Long", "Int", "Short", "Char", "Byte", "Bool")
_DTYPES = ("float32", "float16", "bfloat16", "float64", "int64", "int32", "int16", "int8", "uint8", "bool")

#: Globals in a pickle of tensors and plain values.
ALLOWED = frozenset(
    [
        *("collections OrderedDict", "collections Counter", "torch Size"),
        *("torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter"),
        *(f"torch {name}Storage" for name in _STORAGES),
        *(f"torch {name}" for name in _DTYPES),
    ]
)
#: Classes that name callback states in checkpoints of Lightning before 1.5, including AdaFace's. They are never
#: imported: :func:`mfer_lightning.nn.weights.read.read_state` replaces them with an empty class.
STOOD_IN_FOR = frozenset(
    f"pytorch_lightning.callbacks.{name}"
    for name in ("model_checkpoint.ModelCheckpoint", "early_stopping.EarlyStopping", "lr_monitor.LearningRateMonitor")
)
#: Additional globals in third-party weights. The memory that a call allocates is proportional to its arguments.
ALLOWED_IN_WEIGHTS = ALLOWED | {
    *(" ".join(name.rsplit(".", 1)) for name in STOOD_IN_FOR),
    "torch.nn.parameter Parameter",
    "torch._utils _rebuild_parameter_with_state",
    "torch.serialization _get_layout",
    "torch device",
    "_codecs encode",
    "builtins set",
    "__builtin__ set",
}
#: Opcodes that import or call something and that ``torch.save`` does not write by default; they are always rejected.
_CALLS = frozenset(["STACK_GLOBAL", "INST", "OBJ", "EXT1", "EXT2", "EXT4"])


def check_archive(path: Path) -> None:
    """Reject a checkpoint with compressed or oversized members, globals not in :data:`ALLOWED`, or too many copies.

    Args:
        path: a file supposedly written by ``torch.save``.

    Raises:
        UserError: if the file is rejected; the message states the reason.
    """
    try:
        pickles = _check_zip(path, ALLOWED)
        if pickles != 1:
            raise UserError(
                f"{path} is not a checkpoint of mfer_lightning: it contains {pickles} files named data.pkl."
            )
    except UserError:
        raise
    except Exception as error:  # damaged zip files and pickles raise many kinds of exceptions
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise UserError(f"{path} cannot be read as a checkpoint: it is truncated or damaged ({reason}).") from error


def check_weights_file(path: Path) -> None:
    """Check a weight file like :func:`check_archive`, in torch's current format or the one before 1.6.

    Args:
        path: a file supposedly written by ``torch.save``.

    Raises:
        UserError: if the file is rejected; the message states the reason.
        ValueError: if it is not such a file, or a pickle is damaged.
        zipfile.BadZipFile: if the zip archive is damaged.
    """
    if zipfile.is_zipfile(path):
        _check_zip(path, ALLOWED_IN_WEIGHTS)
        return
    with path.open("rb") as file:
        if file.read(2) == b"PK":  # torch's current format is a zip archive, with its directory at the end
            raise UserError(f"{path} cannot be read as weights: it is truncated or damaged. Download it again.")
        file.seek(0)
        size = path.stat().st_size
        for _ in range(5):  # before the data: magic number, version, machine, content, names of the storages
            if file.tell() >= size:
                return
            _check_pickle(file, path, ALLOWED_IN_WEIGHTS)
            _check_pickle_size(file.tell(), path)


def _check_zip(path: Path, allowed: frozenset[str]) -> int:
    """Check a zip file and its pickles, and return the number of pickles."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if any(m.compress_type != zipfile.ZIP_STORED for m in members):
            raise UserError(
                f"{path} cannot be read: its parts are compressed, so they could expand to any size. torch.save "
                "never compresses them."
            )
        claimed, size = sum(m.file_size for m in members), path.stat().st_size
        if claimed > size:
            raise UserError(
                f"{path} cannot be read: its parts claim {claimed:,} bytes, but the file has {size:,}. It is damaged, "
                "or designed to exhaust the memory."
            )
        pickles = [m for m in members if m.filename.rpartition("/")[2] == "data.pkl"]
        for member in pickles:
            _check_pickle_size(member.file_size, path)
            _check_pickle(archive.read(member), path, allowed)
        return len(pickles)


def _check_pickle_size(size: int, path: Path) -> None:
    if size > MOST_PICKLE_BYTES:
        raise UserError(f"{path} cannot be read: its list of weights is longer than {MOST_PICKLE_BYTES:,} bytes.")


def _check_pickle(data: bytes | IO[bytes], path: Path, allowed: frozenset[str]) -> None:
    copies = Copies()
    for opcode, argument, _ in pickletools.genops(data):
        copies.step(opcode, argument)
        if copies.total > MOST_COPIES:
            raise UserError(
                f"{path} cannot be read: loading it would copy the same objects again and again and could exhaust the "
                "memory. It is damaged, or designed to do so."
            )
        named = argument if opcode.name == "GLOBAL" else opcode.name if opcode.name in _CALLS else None
        if named is not None and named not in allowed:
            raise UserError(
                f"{path} cannot be read: it was rejected, because it is damaged or contains objects other than tensors "
                "and plain values, which could run code or exhaust the memory when loaded "
                f"({str(named).replace(' ', '.')[:80]})."
            )
