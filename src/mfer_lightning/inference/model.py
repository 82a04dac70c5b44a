"""A trained model, ready to use: network, preprocessing, class names and metadata in one object."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mfer_lightning.checkpoints.read import read_checkpoint
from mfer_lightning.checkpoints.rebuild import (
    NEWEST_FORMAT,
    build_network,
    build_preprocess,
    check_description,
    network_weights,
)
from mfer_lightning.confidence import Confidence
from mfer_lightning.errors import UserError
from mfer_lightning.inference.checkpoint import checkpoint_path, model_path
from mfer_lightning.inference.export.run_results import find_results, publishable, without_folders
from mfer_lightning.inference.export.safetensors_folder import is_export, read_export, write_export
from mfer_lightning.nn.adapter import merge_adapter
from mfer_lightning.nn.backbones.plain_resnet import prediction_only
from mfer_lightning.nn.base import Network
from mfer_lightning.nn.preprocess import Preprocess
from mfer_lightning.nn.valence_arousal import PREDICTED
from mfer_lightning.nn.weights.checksums import check_storages
from mfer_lightning.views import ONE_VIEW, Views

#: Entries that are written anew in each export, never copied from an earlier export.
_DERIVED = ("torch_dtype", "library_name", "model_type", "architectures", "id2label", "label2id")
_VERSIONS_OF = ("mfer_lightning", "torch", "timm", "safetensors")

#: Default batch sizes. A GPU needs large batches to be fully used; a CPU does not gain from them.
_BATCH = {"cuda": 256}
_BATCH_ELSEWHERE = 64


class FERModel(nn.Module):
    """Network and preprocessing of a trained model, in evaluation mode.

    Args:
        network: maps normalised images to feature and logits.
        preprocess: maps uint8 faces to normalised images.
        class_names: the K emotions in the network's order.
        metadata: further entries of its checkpoint: dataset, protocol, configuration, data hash, git.
        source: the file or folder that it was read from.

    Attributes:
        network: as given. A network from a file is for prediction only: it has no drop-path, and some cannot be set to
            training mode. To train it, build it again with ``mfer_lightning.nn.build_network(network.config)`` and load
            its ``state_dict()``.
        precision: the current precision (:func:`mfer_lightning.inference.arithmetic.set_precision`), initially float32.
        full_batch: batch size that it is compiled for; 0: it is not compiled.

    Example:
        >>> from mfer_lightning.nn import MFER
        >>> network = MFER({"name": "convnext_atto", "options": {"depths": [1, 1, 1, 1], "dims": [8, 16, 32, 64]}}, 2)
        >>> model = FERModel(network, Preprocess(size=32), ("sadness", "happiness"))
        >>> model(torch.zeros(3, 3, 48, 48, dtype=torch.uint8))["logits"].shape
        torch.Size([3, 2])
    """

    def __init__(
        self,
        network: Network,
        preprocess: Preprocess,
        class_names: Sequence[str],
        metadata: Mapping[str, Any] | None = None,
        source: Path | None = None,
    ) -> None:
        super().__init__()
        self.network = network.eval()
        self.preprocess = preprocess
        self.class_names = tuple(class_names)
        self.metadata = dict(metadata or {})
        self.source = source
        self.precision = "32-true"
        self.full_batch = 0
        self.eval()

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.network.parameters()).device

    @property
    def temperature(self) -> float:
        """The temperature by which the network's logits are divided; 1 if none was fitted."""
        return Confidence.of_metadata(self.metadata).temperature

    def train(self, mode: bool = True) -> FERModel:
        """Reject training mode, because predictions must not depend on the rest of the batch.

        Raises:
            UserError: if ``mode`` is True.
        """
        if mode:
            raise UserError(
                "A loaded model is for prediction only. To train from its weights: mfer weights=<checkpoint>."
            )
        super().train(False)
        return self

    def forward(self, faces: Tensor, *, views: Views = ONE_VIEW) -> dict[str, Tensor]:
        """Classify aligned faces.

        Args:
            faces: uint8 (B,3,H,W), RGB, on any device.
            views: views over which logits and features are averaged; by default only the original faces.

        Returns:
            ``logits`` (B,K), divided by :attr:`temperature`, ``feature`` (B,D) and, if the model predicts them,
            ``valence_arousal`` (B,2); all float32, on the model's device.
        """
        with torch.inference_mode(), torch.autocast(self.device.type, enabled=False):
            return views.average(self._run, faces.to(self.device, non_blocking=self.device.type == "cuda"))

    def _run(self, faces: Tensor) -> dict[str, Tensor]:
        count, full = len(faces), self.full_batch
        if full // 2 < count < full:
            faces = torch.cat([faces, faces[-1:].expand(full - count, -1, -1, -1)])
        pixels = self.preprocess(faces).contiguous(memory_format=torch.channels_last)
        output = self.network(pixels)
        found = {name: output[name][:count].float() for name in PREDICTED if name in output}
        return {**found, "logits": found["logits"] / self.temperature}

    def batches(self, faces: Tensor, size: int = 64, *, views: Views = ONE_VIEW) -> Iterator[dict[str, Tensor]]:
        """Classify many faces in batches of ``size``."""
        for start in range(0, len(faces), size):
            yield self(faces[start : start + size], views=views)

    def describe(self) -> dict[str, Any]:
        """Return everything needed to build, use and evaluate the model: the content of ``config.json``.

        The values are plain and contain no local paths.
        """
        preprocess = self.preprocess.to_config()
        derived = ("format", "config", "datamodule", "results", "versions", "alignment", "sha256", *_DERIVED)
        config = self.metadata.get("config")
        return {
            "format": NEWEST_FORMAT,
            "library_name": "mfer_lightning",
            "model_type": "mfer",
            "architectures": [type(self.network).__name__],
            "class_names": list(self.class_names),
            "id2label": {str(k): name for k, name in enumerate(self.class_names)},
            "label2id": {name: k for k, name in enumerate(self.class_names)},
            "network": self.network.config,
            "preprocess": preprocess,
            "alignment": self.metadata.get("alignment") or preprocess["alignment"],
            **{k: v for k, v in self.metadata.items() if k not in derived},
            "augmentation": without_folders(self.metadata.get("augmentation")),
            **({"teachers": without_folders(self.metadata["teachers"])} if "teachers" in self.metadata else {}),
            "results": find_results(self.source, self.metadata),
            "config": publishable(config) if isinstance(config, Mapping) else None,
            "versions": {
                "python": platform.python_version(),
                **{package: importlib.metadata.version(package) for package in _VERSIONS_OF},
            },
        }

    def save_pretrained(self, folder: str | Path, *, replace: bool = False) -> Path:
        """Write ``model.safetensors``, ``config.json`` and a model card, in the Hugging Face layout.

        Args:
            folder: written atomically.
            replace: replace an earlier export in that folder.

        Returns:
            The folder.

        Raises:
            UserError: if the folder contains anything that must not be replaced, or cannot be written.
        """
        return write_export(self.describe(), merge_adapter(self.network.state_dict()), folder, replace=replace)

    @classmethod
    def from_pretrained(cls, folder: str | PathLike[str], device: str = "auto", *, verify: bool = True) -> FERModel:
        """Load a local folder written by :meth:`save_pretrained` or ``mfer export format=safetensors``.

        Args:
            folder: folder of the export.
            device: as for :func:`read_model`.
            verify: compare the weights with the SHA-256 in ``config.json``.

        Raises:
            UserError: if it is missing, damaged, unsafe, in a newer format, or inconsistent.
        """
        folder = Path(folder).expanduser()
        with torch.device("cpu"):  # the caller's context may be another device, such as meta
            model = build_model(*read_export(folder, verify=verify), folder)
        return model.to(choose_device(device))


def read_model(where: str | PathLike[str], device: str = "auto", *, verify: bool = True) -> FERModel:
    """Load the model of a run, a checkpoint or an export, without executing anything from the file.

    Args:
        where: a run's folder, a checkpoint file, a folder written by ``mfer export format=safetensors`` or a file in
            it, or the name of a bundled model.
        device: ``"auto"`` (a GPU if there is one), or a torch device, e.g. ``"cpu"`` or ``"cuda:1"``.
        verify: compare the weights with the stored checksums.

    Returns:
        The model, in evaluation mode.

    Raises:
        UserError: if there is no checkpoint, or it is damaged, unsafe, in a newer format, or inconsistent.
    """
    where = model_path(where)
    if is_export(where):
        return FERModel.from_pretrained(where, device, verify=verify)
    path = checkpoint_path(where)
    if path.suffix == ".safetensors" or path.name == "config.json":
        if is_export(path.parent):
            return FERModel.from_pretrained(path.parent, device, verify=verify)
        raise UserError(f"{path} does not describe a model. Give the folder written by mfer export.")
    with torch.device("cpu"):  # the caller's context may be another device, such as meta
        checkpoint = read_checkpoint(path)
        stored = network_weights(checkpoint["state_dict"])
        if verify:
            check_storages(path, (weight for weight in stored.values() if isinstance(weight, Tensor)))
        model = build_model({**checkpoint["mfer"], "epoch": checkpoint.get("epoch")}, stored, path)
    return model.to(choose_device(device))


def build_model(description: Mapping[str, Any], weights: Mapping[str, Tensor], source: Path) -> FERModel:
    """Build a model from the content of a file.

    Shapes are compared before memory is allocated for them, so that a file cannot request more memory than it contains.

    Args:
        description: ``class_names``, ``network``, ``preprocess``, and further entries, which become the metadata.
        weights: name in the network -> tensor; exactly the network's.
        source: the file, for messages.

    Raises:
        UserError: if parts are missing or do not fit together.
    """
    check_description(description, source)
    preprocess = build_preprocess(description, source)
    with prediction_only():
        network = build_network(description, weights, source)
    network.requires_grad_(False)
    network.to(memory_format=torch.channels_last)
    metadata = {k: v for k, v in description.items() if k not in ("network", "preprocess", "class_names")}
    return FERModel(network, preprocess, description["class_names"], metadata, source)


def usual_batch(device: torch.device) -> int:
    """Return the default batch size of a device.

    Example:
        >>> usual_batch(torch.device("cpu")), usual_batch(torch.device("cuda:1"))
        (64, 256)
    """
    return _BATCH.get(device.type, _BATCH_ELSEWHERE)


def choose_device(name: str) -> torch.device:
    """Choose the device to predict on.

    Raises:
        UserError: for a device that torch does not know or this machine does not have.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device={name} cannot be used here ({str(error).splitlines()[0]}). Try device=cpu.") from error
    return device
