"""Folders in the Hugging Face layout: ``model.safetensors``, ``config.json`` and a model card."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from mfer_lightning.errors import UserError
from mfer_lightning.files import write_json, write_text
from mfer_lightning.inference.export.card import model_card
from mfer_lightning.inference.export.folder import whole_folder
from mfer_lightning.inference.export.provenance import find_results, publishable
from mfer_lightning.inference.model import NEWEST_FORMAT, FERModel, build_model, choose_device

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"

_MOST_CONFIG_BYTES = 4 << 20
#: The list of names and shapes at the head of a safetensors file; ours have some hundred kilobytes.
_MOST_HEADER_BYTES = 16 << 20
_DTYPES = ("F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL")


def is_export(where: str | Path) -> bool:
    """Whether a path is a folder that :func:`save_export` wrote."""
    folder = Path(where).expanduser()
    return (folder / WEIGHTS).exists() or ((folder / CONFIG).exists() and not (folder / "checkpoints").exists())


def describe(model: FERModel) -> dict[str, Any]:
    """Say everything about a model that is needed to build, use and judge it, fit to be given away.

    Args:
        model: a loaded model.

    Returns:
        Plain values: the content of ``config.json``.
    """
    preprocess = model.preprocess.to_config()
    own = {k: v for k, v in model.metadata.items() if k not in ("format", "config", "results", "versions")}
    config = model.metadata.get("config")
    return {
        "format": NEWEST_FORMAT,
        "library_name": "mfer_lightning",
        "model_type": "mfer",
        "architectures": ["MFER"],
        "class_names": list(model.class_names),
        "id2label": {str(k): name for k, name in enumerate(model.class_names)},
        "label2id": {name: k for k, name in enumerate(model.class_names)},
        "network": model.network.config,
        "preprocess": preprocess,
        "alignment": model.metadata.get("alignment") or preprocess["alignment"],
        **{k: v for k, v in own.items() if k not in ("alignment", *_DERIVED)},
        "results": find_results(model),
        "config": publishable(config) if isinstance(config, Mapping) else None,
        "versions": _versions(),
    }


#: Written anew with each export, never taken from the one before.
_DERIVED = ("library_name", "model_type", "architectures", "id2label", "label2id")


def save_export(model: FERModel, folder: str | Path, *, replace: bool = False) -> Path:
    """Write a model in the Hugging Face layout.

    Args:
        model: a loaded model.
        folder: appears whole or not at all.
        replace: put it in the place of an earlier export there.

    Returns:
        The folder.

    Raises:
        UserError: where there is something already, or nothing can be written.
    """
    target = Path(folder).expanduser()
    description = describe(model)
    weights = {name: value.detach().cpu().contiguous() for name, value in model.network.state_dict().items()}
    with whole_folder(target, replace=replace) as temporary:
        save_file(weights, temporary / WEIGHTS, metadata={"format": "pt"})
        write_json(temporary / CONFIG, description)
        write_text(temporary / CARD, model_card(description, "safetensors"))
    return target


def read_export(folder: str | Path, device: str = "auto") -> FERModel:
    """Load a folder that :func:`save_export` wrote. Nothing of it is executed, and nothing outside it is read.

    Args:
        folder: a local folder.
        device: ``"auto"`` (a GPU where there is one), or a torch device.

    Returns:
        The model, in evaluation mode.

    Raises:
        UserError: where it is missing, damaged, unsafe, of a newer format, or disagrees with itself.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}. Write one with: mfer export checkpoint=<run> format=safetensors")
    description = _read_config(folder / CONFIG)
    weights = _read_weights(folder / WEIGHTS)
    return build_model(description, weights, folder).to(choose_device(device))


def _versions() -> dict[str, str]:
    """Versions of what computed the weights' figures and writes the export."""
    packages = ("mfer_lightning", "torch", "timm", "safetensors")
    return {"python": platform.python_version(), **{p: importlib.metadata.version(p) for p in packages}}


def _read_config(path: Path) -> dict[str, Any]:
    if not path.is_file():  # a device or a pipe is none either
        raise UserError(f"{path.parent} holds no {path.name}: it is not a whole export. Export the model anew.")
    size = path.stat().st_size
    if size > _MOST_CONFIG_BYTES:
        raise UserError(f"{path} has {size:,} bytes; the description of a model has at most {_MOST_CONFIG_BYTES:,}.")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged: it is no JSON ({' '.join(str(error).split())[:120]}).") from None
    if not isinstance(found, dict):
        raise UserError(f"{path} does not describe a model: it holds a {type(found).__name__}.")
    return found


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Map the weights, after a look at the head of the file: they are read only when they are used."""
    if not path.is_file():
        raise UserError(f"{path.parent} holds no {path.name}: it is not a whole export. Export the model anew.")
    with path.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")
    if header > min(_MOST_HEADER_BYTES, path.stat().st_size):
        raise UserError(f"{path} is damaged: its list of weights claims {header:,} bytes.")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            names = list(file.keys())
            strange = [n for n in names if file.get_slice(n).get_dtype() not in _DTYPES]
            if strange:
                raise UserError(f"{path}: the weight {strange[0][:80]!r} is of a type that no network of ours has.")
            return {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"{path} is cut off, damaged or no safetensors file ({reason}).") from error
