"""Read weight files as data, without executing any code in them."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from mfer_lightning.errors import UserError, nearest
from mfer_lightning.nn.weights.checksums import check_storages
from mfer_lightning.nn.weights.safety import STOOD_IN_FOR, check_weights_file

#: Entries of a file that contain the weights. The last three are from training checkpoints of InsightFace and others.
_WRAPPERS = (
    *("state_dict", "model", "module", "state_dict_ema", "model_ema"),
    *("state_dict_backbone", "model_state_dict", "net_state_dict"),
)
#: First bytes of web pages and Git LFS pointers. Read as the header length that starts a safetensors file, they would
#: exceed the limit.
_TEXTS = (b"<!DOCTYPE", b"<!doctype", b"<html", b"<HTML", b"<?xml", b"version https://git-lfs")
_START = 200
_PREFIXES = ("module.", "_orig_mod.")  # added by DataParallel and torch.compile


def _stand_ins() -> AbstractContextManager[Any]:
    """Make torch substitute empty classes for the classes that files of other programs may name."""
    empty: list[Any] = [
        type(name.rpartition(".")[2], (), {"__module__": name.rpartition(".")[0]}) for name in STOOD_IN_FOR
    ]
    return torch.serialization.safe_globals(empty)


def read_state(path: str | Path) -> dict[str, Tensor]:
    """Read a weight file without executing any code in it.

    Args:
        path: a ``.safetensors`` file, or a file written by ``torch.save``.

    Returns:
        Name -> tensor on the CPU, without the usual wrappers and prefixes (``state_dict``, ``model``, ``module.``).

    Raises:
        UserError: if the file is missing or damaged, contains anything but plain data, or contains no weights.
    """
    path = Path(path).expanduser()
    check_exists(path)
    _refuse_text(path)
    try:
        if path.suffix == ".safetensors":
            content = load_file(path)
        else:
            check_weights_file(path)
            with _stand_ins():
                content = torch.load(path, map_location="cpu", weights_only=True)
    except UserError:
        raise
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path} was rejected: it is damaged or contains more than weights (Python objects, which can "
            "run code when "
            "loaded). Save only the state dict: torch.save(model.state_dict(), path), or use .safetensors."
        ) from error
    except Exception as error:  # damaged files make the readers raise many kinds of exceptions
        reason = str(error).splitlines()[0][:300] if str(error) else type(error).__name__  # may quote the file
        raise UserError(
            f"{path} cannot be read as weights: {reason}. The file may be damaged. Download it again."
        ) from error
    state = tensors_of(content, str(path))
    if path.suffix != ".safetensors":
        check_storages(path, state.values())
    for name, value in state.items():
        plain = value.layout is torch.strided and value.device.type == "cpu" and not value.is_quantized
        if not plain or not is_stored_whole(value):
            raise UserError(
                f"{path}: {name[:80]!r} is not a plain tensor, or claims to be larger than its stored data."
            )
    return state


def check_exists(path: Path, names: Iterable[str] = ()) -> None:
    """Reject a path that is not a file.

    Args:
        path: the value of ``weights=``.
        names: names of the bundled models, to suggest the one that is probably meant.

    Raises:
        UserError: if it is a folder or missing; for a missing file, the message lists the legal values.
    """
    if path.is_dir():
        raise UserError(f"weights={path} is a folder. Use a file in it, e.g. checkpoints/best.ckpt of a run.")
    if not path.is_file():
        hint = nearest(str(path), ("none", "imagenet", *names))
        meant = f"; {hint}" if hint.startswith("did you mean") else "."
        raise UserError(
            f"weights={path}: there is no such file. The option must be none, imagenet, the name of a "
            f"bundled model (mfer models), or a .safetensors, .pth or .ckpt file{meant}"
        )


def _refuse_text(path: Path) -> None:
    """Reject files that failed downloads leave behind: a web page, an error message, a Git LFS pointer."""
    with path.open("rb") as file:
        start = file.read(_START)
    if not start.startswith(_TEXTS):
        return
    line = start.decode("utf-8", "replace").splitlines()[0].strip()
    raise UserError(
        f"{path} contains text that starts with {line[:60]!r} instead of weights. A web page or a Git LFS pointer was "
        "probably saved instead of the file. Download it again."
    )


def is_stored_whole(value: Tensor) -> bool:
    """Whether all elements of a tensor are stored.

    A tensor that repeats stored values (stride 0) would need more memory when copied.
    """
    return value.numel() * value.element_size() <= value.untyped_storage().nbytes()


def tensors_of(content: object, source: str) -> dict[str, Tensor]:
    """Extract the tensors from the usual wrappers (``state_dict``, ``model``, ...).

    Args:
        content: content of a file.
        source: name of the file, for messages.

    Returns:
        Name -> tensor, without the prefixes of DataParallel and torch.compile.

    Raises:
        UserError: if it contains anything but tensors.
    """
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
            break
    if not isinstance(content, Mapping) or not content:
        raise UserError(f"{source} contains no weights: expected named tensors, found {type(content).__name__}.")
    strangers = [str(name) for name, value in content.items() if not isinstance(value, Tensor)]
    if strangers:
        raise UserError(f"{source} contains entries that are not tensors: {listed(strangers)}.")
    state = {str(name): value for name, value in content.items()}
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    # torch.compile inside a module adds its prefix in the middle of names
    return {name.replace("._orig_mod.", "."): value for name, value in state.items()}


def listed(names: Iterable[str], most: int = 4) -> str:
    """Join the first few names.

    Example:
        >>> listed(["a", "b", "c"], most=2)
        'a, b'
    """
    return ", ".join(islice(names, most))
