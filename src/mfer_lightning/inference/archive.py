"""A look into a checkpoint file before torch opens it: nothing of it may grow, and nothing of it may be called.

torch.load(weights_only=True) calls no foreign code, but it inflates compressed members, trusts the sizes that the
pickle claims, and may call a few constructors (bytearray, for one) that take as much memory as they are told to.
"""

from __future__ import annotations

import pickletools
import zipfile
from pathlib import Path

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


def _check_sizes(members: list[zipfile.ZipInfo], path: Path) -> None:
    compressed = [m.filename for m in members if m.compress_type != zipfile.ZIP_STORED]
    if compressed:
        raise UserError(
            f"{path} cannot be read as a checkpoint: its parts are compressed, which torch.save never does, so they "
            "could grow without bounds."
        )
    claimed, size = sum(m.file_size for m in members), path.stat().st_size
    if claimed > size:
        raise UserError(
            f"{path} cannot be read as a checkpoint: it is damaged, or made to fill the memory: its parts would have "
            f"{claimed:,} bytes, the file has {size:,}."
        )


def _check_pickle(data: bytes, path: Path) -> None:
    for opcode, argument, _ in pickletools.genops(data):
        named = argument if opcode.name == "GLOBAL" else opcode.name if opcode.name in _OTHER_WAYS else None
        if named is not None and named not in ALLOWED:
            raise UserError(
                f"{path} cannot be read as a checkpoint: it is damaged, or holds objects other than tensors and plain "
                f"values, which are never loaded because they could execute code "
                f"({str(named).replace(' ', '.')[:80]})."
            )
