"""A look into a file before torch opens it: nothing of it may grow, and nothing of it may be called.

torch.load(weights_only=True) calls no foreign code, but it inflates compressed members, trusts the sizes that the
pickle claims, and may call a few constructors (bytearray, for one) that take as much memory as they are told to.
"""

from __future__ import annotations

import pickletools
import zipfile
from pathlib import Path
from typing import IO

from mfer_lightning.errors import UserError

#: Our checkpoints' pickles have some hundred kilobytes: names, shapes and the configuration.
MOST_PICKLE_BYTES = 64 << 20

_STORAGES = ("Float", "Half", "BFloat16", "Double", "Long", "Int", "Short", "Char", "Byte", "Bool")
_DTYPES = ("float32", "float16", "bfloat16", "float64", "int64", "int32", "int16", "int8", "uint8", "bool")

#: What a pickle of tensors and plain values names.
ALLOWED = frozenset(
    [
        "collections OrderedDict",
        "collections Counter",
        "torch._utils _rebuild_tensor_v2",
        "torch._utils _rebuild_parameter",
        "torch Size",
        *(f"torch {name}Storage" for name in _STORAGES),
        *(f"torch {name}" for name in _DTYPES),
    ]
)
#: What files of weights from elsewhere name besides; neither of these takes memory that the file does not have.
ALLOWED_IN_WEIGHTS = ALLOWED | {
    "torch.nn.parameter Parameter",
    "torch._utils _rebuild_parameter_with_state",
    "torch.serialization _get_layout",
    "torch device",
    "_codecs encode",
    "builtins set",
    "__builtin__ set",
}
_OTHER_WAYS = frozenset(["STACK_GLOBAL", "INST", "OBJ", "EXT1", "EXT2", "EXT4"])


def check_archive(path: Path) -> None:
    """Refuse a file whose loading could take more memory than the file has, or name more than tensors.

    Args:
        path: a file that ``torch.save`` is said to have written.

    Raises:
        UserError: saying what is wrong.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _check_sizes(members, path)
            pickles = [m for m in members if m.filename.rpartition("/")[2] == "data.pkl"]
            if len(pickles) != 1 or pickles[0].file_size > MOST_PICKLE_BYTES:
                raise UserError(f"{path} is not a checkpoint of mfer_lightning: it holds {len(pickles)} data.pkl.")
            _check_pickle(archive.read(pickles[0]), path)
    except UserError:
        raise
    except Exception as error:  # whatever the readers of zip files and pickles make of damage
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise UserError(f"{path} cannot be read as a checkpoint: it is cut off or damaged ({reason}).") from error


def check_weights_file(path: Path) -> None:
    """Refuse a file of weights, in torch's format of today or of before 1.6, as :func:`check_archive` does.

    Args:
        path: a file that ``torch.save`` is said to have written.

    Raises:
        UserError: saying what is wrong.
        ValueError: where it is no such file, or a damaged one.
    """
    if not zipfile.is_zipfile(path):
        _check_bare_pickles(path)
        return
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        _check_sizes(members, path)
        for member in members:
            if member.filename.rpartition("/")[2] == "data.pkl":
                if member.file_size > MOST_PICKLE_BYTES:
                    raise UserError(f"{path} cannot be read: its list of weights has {member.file_size:,} bytes.")
                _check_pickle(archive.read(member), path, ALLOWED_IN_WEIGHTS)


def _check_bare_pickles(path: Path) -> None:
    """Look at the pickles before the numbers: a mark, a version, the machine, the content, the names of the numbers."""
    with path.open("rb") as file:
        size = path.stat().st_size
        for _ in range(5):
            if file.tell() >= size:
                return
            _check_pickle(file, path, ALLOWED_IN_WEIGHTS)
            if file.tell() > MOST_PICKLE_BYTES:
                raise UserError(
                    f"{path} cannot be read: its list of weights is longer than {MOST_PICKLE_BYTES:,} bytes."
                )


def _check_sizes(members: list[zipfile.ZipInfo], path: Path) -> None:
    compressed = [m.filename for m in members if m.compress_type != zipfile.ZIP_STORED]
    if compressed:
        raise UserError(
            f"{path} cannot be read: its parts are compressed, which torch.save never does, so they "
            "could grow without bounds."
        )
    claimed, size = sum(m.file_size for m in members), path.stat().st_size
    if claimed > size:
        raise UserError(
            f"{path} cannot be read: it is damaged, or made to fill the memory: its parts would have "
            f"{claimed:,} bytes, the file has {size:,}."
        )


def _check_pickle(data: bytes | IO[bytes], path: Path, allowed: frozenset[str] = ALLOWED) -> None:
    for opcode, argument, _ in pickletools.genops(data):
        named = argument if opcode.name == "GLOBAL" else opcode.name if opcode.name in _OTHER_WAYS else None
        if named is not None and named not in allowed:
            raise UserError(
                f"{path} cannot be read: it was refused, since it is damaged, or holds "
                "objects other than tensors and plain values, which could run code or fill the memory when loaded "
                f"({str(named).replace(' ', '.')[:80]})."
            )
