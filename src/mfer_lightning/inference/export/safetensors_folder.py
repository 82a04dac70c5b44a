"""Write and read folders in the Hugging Face layout: ``model.safetensors``, ``config.json`` and a model card.

Only files, descriptions and tensors are handled here. :mod:`mfer_lightning.inference.model` builds the model.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from mfer_lightning.errors import UserError
from mfer_lightning.files import atomic_path, sha256_of, write_json, write_text
from mfer_lightning.inference.checkpoint import model_path
from mfer_lightning.inference.export.atomic_folder import atomic_folder

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"

_MOST_CONFIG_BYTES = 4 << 20
#: Maximum bytes of the header of a safetensors file, which lists names and shapes. Real headers take at most a few
#: hundred kilobytes.
_MOST_HEADER_BYTES = 16 << 20
_DTYPES = ("F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL")


def is_export(where: str | PathLike[str]) -> bool:
    """Whether a path is a folder written by :func:`write_export`."""
    folder = model_path(where)
    return (folder / WEIGHTS).exists() or ((folder / CONFIG).exists() and not (folder / "checkpoints").exists())


def write_export(
    description: Mapping[str, Any], weights: Mapping[str, torch.Tensor], folder: str | Path, *, replace: bool = False
) -> Path:
    """Write a model in the Hugging Face layout.

    Args:
        description: the content of ``config.json``.
        weights: the network's state dict.
        folder: written atomically.
        replace: replace an earlier export in that folder.

    Returns:
        The folder.

    Raises:
        UserError: if the folder contains anything that must not be replaced, or cannot be written.
    """
    # imported here because it imports the datasets and Lightning, which reading does not need
    from mfer_lightning.inference.export.card import model_card

    target = Path(folder).expanduser()
    with atomic_folder(target, replace=replace) as temporary:
        write_weights(description, weights, temporary)
        write_text(temporary / CARD, model_card(description, "safetensors"))
    return target


def write_weights(description: Mapping[str, Any], weights: Mapping[str, torch.Tensor], folder: Path) -> None:
    """Write ``model.safetensors`` and ``config.json`` into an existing folder."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
    with atomic_path(folder / WEIGHTS) as path:  # save_file ignores the umask
        try:
            save_file(tensors, path, metadata={"format": "pt"})
        except SafetensorError as error:  # raised instead of OSError
            number = re.search(r"\(os error (\d+)\)", str(error))
            if number is None:
                raise
            raise OSError(int(number[1]), os.strerror(int(number[1]))) from error
    write_json(folder / CONFIG, {**description, "sha256": {WEIGHTS: sha256_of(folder / WEIGHTS)}})


def read_export(folder: str | Path, *, verify: bool = True) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Read a folder written by :func:`write_export`. Nothing in it is executed, and nothing outside it is read.

    Args:
        folder: a local folder.
        verify: compare the weights with their SHA-256 in ``config.json``. Exports of earlier versions have none.

    Returns:
        The description and the weights, which are memory-mapped.

    Raises:
        UserError: if it is missing, incomplete or damaged.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}. Write one with: mfer export checkpoint=<run> format=safetensors")
    for path in (folder / CONFIG, folder / WEIGHTS):
        if not path.is_file():  # devices and pipes are not files either
            raise UserError(f"{folder} contains no {path.name}, so the export is incomplete. Export the model again.")
    description, weights = _read_config(folder / CONFIG), _read_weights(folder / WEIGHTS)
    digests = description.get("sha256")
    if verify and isinstance(digests, Mapping) and digests.get(WEIGHTS) != sha256_of(folder / WEIGHTS):
        raise UserError(
            f"{folder / WEIGHTS} is damaged, or belongs to another export: its SHA-256 is not the one in {CONFIG}. "
            "Copy the folder again, or export the model again."
        )
    return description, weights


def _read_config(path: Path) -> dict[str, Any]:
    size = path.stat().st_size
    if size > _MOST_CONFIG_BYTES:
        raise UserError(f"{path} has {size:,} bytes, but a model's description has at most {_MOST_CONFIG_BYTES:,}.")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged: it is not JSON ({' '.join(str(error).split())[:120]}).") from None
    if not isinstance(found, dict):
        raise UserError(f"{path} does not describe a model: it contains a {type(found).__name__}.")
    return found


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Check the header of the file, then map its weights: they are read only when they are used."""
    with path.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")
    if header > min(_MOST_HEADER_BYTES, path.stat().st_size):
        raise UserError(f"{path} is damaged: its header states a size of {header:,} bytes.")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            names = list(file.keys())
            strange = [n for n in names if file.get_slice(n).get_dtype() not in _DTYPES]
            if strange:
                raise UserError(
                    f"{path}: the weight {strange[0][:80]!r} has a data type that no network of this package uses."
                )
            return {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"{path} is truncated, damaged or not a safetensors file ({reason}).") from error
