"""A trained model, ready to use: network, preprocessing, class names and where it came from, in one object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mfer_lightning.config.instantiate import locate
from mfer_lightning.config.plugins import missing_plugins
from mfer_lightning.errors import FORMULA, UserError, nearest
from mfer_lightning.inference.checkpoint import read_checkpoint
from mfer_lightning.inference.checkpoint_path import checkpoint_path
from mfer_lightning.inference.size_limits import (
    check_finite,
    check_numbers,
    check_plain,
    check_tables,
    check_weights,
    parts_at_most,
)
from mfer_lightning.nn import MFER, Preprocess
from mfer_lightning.views import ONE_VIEW, Views

#: Names that the format of a checkpoint or an export must have.
REQUIRED = ("format", "class_names", "network", "preprocess")

#: The newest format that this version reads.
NEWEST_FORMAT = 1

#: Of a class, in characters.
LONGEST_NAME = 100


class FERModel(nn.Module):
    """Network and preprocessing of a trained model, in evaluation mode, in float32.

    Args:
        network: maps normalised images to feature and logits.
        preprocess: maps uint8 faces to normalised images.
        class_names: the K emotions in the network's order.
        metadata: what else its checkpoint says: dataset, protocol, configuration, data hash, git.
        source: the file it came from, for messages.

    Example:
        >>> network = MFER({"name": "convnext_atto", "options": {"depths": [1, 1, 1, 1], "dims": [8, 16, 32, 64]}}, 2)
        >>> model = FERModel(network, Preprocess(size=32), ("sadness", "happiness"))
        >>> model(torch.zeros(3, 3, 48, 48, dtype=torch.uint8))["logits"].shape
        torch.Size([3, 2])
    """

    def __init__(
        self,
        network: MFER,
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
        self.eval()

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.network.parameters()).device

    def train(self, mode: bool = True) -> FERModel:
        """Stay in evaluation mode: predictions must not depend on who else is in the batch."""
        if mode:
            raise UserError("A loaded model is for prediction. To train from its weights: mfer weights=<checkpoint>.")
        super().train(False)
        return self

    def forward(self, faces: Tensor, *, views: Views = ONE_VIEW) -> dict[str, Tensor]:
        """Classify aligned faces.

        Args:
            faces: uint8 (B,3,H,W), RGB, on any device.
            views: what logits and features are averaged over; the faces alone where it is not said.

        Returns:
            ``logits`` (B,K) and ``feature`` (B,D), float32, on the model's device.
        """
        with torch.inference_mode(), torch.autocast(self.device.type, enabled=False):
            return views.average(self._run, faces.to(self.device))

    def save_pretrained(self, folder: str | Path, *, replace: bool = False) -> Path:
        """Write ``model.safetensors``, ``config.json`` and a model card, in the Hugging Face layout.

        Args:
            folder: appears whole or not at all.
            replace: put it in the place of an earlier export there.

        Returns:
            The folder.

        Raises:
            UserError: where there is something already, or nothing can be written.
        """
        from mfer_lightning.inference.pretrained import save_export

        return save_export(self, folder, replace=replace)

    @classmethod
    def from_pretrained(cls, folder: str | Path, device: str = "auto") -> FERModel:
        """Load what :meth:`save_pretrained` or ``mfer export format=safetensors`` wrote; a local folder, no hub.

        Raises:
            UserError: where it is missing, damaged, unsafe, of a newer format, or disagrees with itself.
        """
        from mfer_lightning.inference.pretrained import read_export

        return read_export(folder, device)

    def _run(self, faces: Tensor) -> dict[str, Tensor]:
        pixels = self.preprocess(faces).contiguous(memory_format=torch.channels_last)
        output = self.network(pixels)
        return {name: output[name].float() for name in ("logits", "feature")}

    def batches(self, faces: Tensor, size: int = 64, *, views: Views = ONE_VIEW) -> Iterator[dict[str, Tensor]]:
        """Classify many faces, ``size`` at a time."""
        for start in range(0, len(faces), size):
            yield self(faces[start : start + size], views=views)


def read_model(where: str | Path, device: str = "auto") -> FERModel:
    """Load the model of a run, a checkpoint or an export, without executing anything that the file holds.

    Args:
        where: a run's folder, a checkpoint file, or a folder that ``mfer export format=safetensors`` wrote, or a
            file of it.
        device: ``"auto"`` (a GPU where there is one), or a torch device, e.g. ``"cpu"`` or ``"cuda:1"``.

    Returns:
        The model, in evaluation mode.

    Raises:
        UserError: where there is no checkpoint, or it is damaged, unsafe, of a newer format, or disagrees with itself.
    """
    from mfer_lightning.inference.pretrained import is_export, read_export  # which builds with what is here

    if is_export(where):
        return read_export(where, device)
    path = checkpoint_path(where)
    if path.suffix == ".safetensors" or path.name == "config.json":
        if is_export(path.parent):
            return read_export(path.parent, device)
        raise UserError(f"{path} does not describe a model: give the folder that mfer export wrote.")
    checkpoint = read_checkpoint(path)
    stored = {
        name.removeprefix("network."): value
        for name, value in checkpoint["state_dict"].items()
        if str(name).startswith("network.")
    }
    description = {**checkpoint["mfer"], "epoch": checkpoint.get("epoch")}
    return build_model(description, stored, path).to(choose_device(device))


def build_model(description: Mapping[str, Any], weights: Mapping[str, Tensor], source: Path) -> FERModel:
    """Build a model from what a file says of it.

    Shapes are compared before anything of their size is allocated: a file cannot ask for more memory than it brings.

    Args:
        description: ``class_names``, ``network``, ``preprocess``, and whatever is to become the metadata.
        weights: name in the network -> tensor; exactly the network's.
        source: the file, for messages.

    Raises:
        UserError: where the parts are missing or disagree.
    """
    check_weights(weights, source)
    check_plain(description, source)
    missing = [key for key in REQUIRED if key not in description]
    if missing:
        raise UserError(f"{source} does not describe a model: it lacks {', '.join(missing)}.")
    if type(description["format"]) is not int or description["format"] > NEWEST_FORMAT:
        raise UserError(
            f"{source} is of format {description['format']}; this version reads up to {NEWEST_FORMAT}. "
            "Install a newer mfer_lightning."
        )
    check_targets(description.get("config"), source)
    names = description["class_names"]
    if not _are_names(names):
        raise UserError(
            f"{source} does not describe a model: its class names are {names!r} (legal are different "
            "printable ones, no formulas)."
        )
    config = description["network"]
    if not isinstance(config, Mapping) or config.get("num_classes") != len(names):
        raise UserError(f"{source} does not describe a model: {len(names)} class names, network {config!r}.")
    if not isinstance(description["preprocess"], Mapping):
        raise UserError(f"{source} does not describe a model: its preprocessing is {description['preprocess']!r}.")
    check_numbers(config, source)
    check_numbers(description["preprocess"], source, "preprocess")
    try:
        with torch.device("meta"), parts_at_most(len(weights), source):
            network = MFER(**config)
        _compare(network.state_dict(), weights, source)
        if check_tables(network, source):  # which the weights do not bring: they must be computed
            network = MFER(**config)
        preprocess = Preprocess.from_config(_with_grey(description))
        Views.of_metadata(description)
    except (UserError, TypeError, ValueError, AttributeError, RuntimeError, AssertionError) as error:
        message = f"{error}{missing_plugins(description.get('config'))}"
        raise UserError(message if str(source) in message else f"{source} cannot be used: {message}") from error
    check_finite(weights, source)
    network.load_state_dict({k: _own(v) for k, v in weights.items()}, assign=True)
    network.requires_grad_(False)
    network.to(memory_format=torch.channels_last)
    metadata = {k: v for k, v in description.items() if k not in ("network", "preprocess", "class_names")}
    return FERModel(network, preprocess, names, metadata, source)


def _with_grey(description: Mapping[str, Any]) -> dict[str, Any]:
    """Say that FERPlus is grey in place of checkpoints from before it was stored."""
    return {"grey": description.get("dataset") == "ferplus", **description["preprocess"]}


def check_targets(config: Any, source: Path) -> None:
    """Refuse a stored configuration that names code outside the whitelist, though nothing of it would be called.

    Raises:
        UserError: naming the target.
    """
    if isinstance(config, Mapping):
        for key, value in config.items():
            if key == "_target_":
                locate(str(value), f"the configuration stored in {source}")
            else:
                check_targets(value, source)
    elif isinstance(config, (list, tuple)):
        for value in config:
            check_targets(value, source)


def choose_device(name: str) -> torch.device:
    """Choose the device to predict on.

    Raises:
        UserError: for one that torch does not know, or that is not here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device={name} cannot be used here ({str(error).splitlines()[0]}). Try device=cpu.") from error
    return device


def _are_names(names: Any) -> bool:
    """Whether these are different printable names, no formulas: they end in file headers, tables and pages."""
    whole = isinstance(names, (list, tuple)) and all(isinstance(n, str) and n.isprintable() for n in names)
    whole = whole and not any(n.startswith(FORMULA) for n in names)
    return whole and all(0 < len(n) <= LONGEST_NAME for n in names) and len(set(names)) == len(names)


def _own(weight: Tensor) -> Tensor:
    """Copy a weight out of its file, floating point ones in float32."""
    return weight.to(torch.float32, copy=True) if weight.is_floating_point() else weight.clone()


def _compare(expected: Mapping[str, Tensor], weights: Mapping[str, Tensor], source: Path) -> None:
    wrong = [
        f"{name} is {tuple(weights[name].shape)}, expected {tuple(value.shape)}"
        for name, value in expected.items()
        if name in weights and weights[name].shape != value.shape
    ]
    wrong += [
        f"{name} is {weights[name].dtype}, expected {value.dtype}"
        for name, value in expected.items()
        if name in weights and weights[name].is_floating_point() != value.is_floating_point()
    ]
    wrong += [f"{name} is missing" for name in expected if name not in weights]
    wrong += [f"{name} is not the network's ({nearest(name, expected)})" for name in weights if name not in expected]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise UserError(
            f"{source}: the weights do not fit the network that it describes: {'; '.join(wrong[:3])}{more}."
        )
