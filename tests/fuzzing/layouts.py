"""Weight files in every supported layout, with the smallest network that the layout allows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from nn import face_files as faces
from nn import test_dan, test_ddamfn, test_poster2
from nn.test_weights import OPTIONS, meta_backbone, network, released
from safetensors.torch import save_file
from torch import Tensor

from mfer_lightning.nn import MFER, Network

_SMALL = ([1, 1, 2, 1], [4, 8, 8, 16])
_SHAPE = {"depths": _SMALL[0], "widths": _SMALL[1]}
_VIT = {"embed_dim": 16, "depth": 4, "num_heads": 2, "img_size": 64}

State = dict[str, Tensor]


@dataclass(frozen=True)
class LayoutFile:
    """One layout.

    Args:
        build: builds a network that can load such a file.
        state: returns the tensors of the file for this network.
        wrap: converts the tensors to the object that is saved.
        end: file extension.
        zipped: whether the file is a zip archive, with checksums.
    """

    build: Callable[[], Network]
    state: Callable[[Any], State]
    wrap: Callable[[State], Any] = dict
    end: str = ".pth"
    zipped: bool = True

    def save(self, content: Any, path: Path) -> None:
        """Write a file of this layout."""
        if self.end == ".safetensors":
            save_file(content, path)
        else:
            torch.save(content, path, _use_new_zipfile_serialization=self.zipped)


def _face(name: str, options: dict[str, Any], shapes: faces.Shapes, prefix: str = "", end: str = ".pth") -> LayoutFile:
    return LayoutFile(
        lambda: MFER({"name": name, "options": options}, 7, attention="none").eval(),
        lambda _: {f"{prefix}{key}": value for key, value in faces.random_file(shapes).items()},
        end=end,
    )


def _timm(_: Any) -> State:
    return timm.create_model("convnext_tiny", num_classes=10, **OPTIONS).state_dict()


def _adapted(model: MFER) -> State:
    """Return the tensors of one of our checkpoints with a LoRA adapter on one layer."""
    state = {f"network.{name}": value for name, value in model.state_dict().items()}
    layer = next(name for name in state if name.endswith("fc1.weight")).removesuffix(".weight")
    weight, bias = state.pop(f"{layer}.weight"), state.pop(f"{layer}.bias")
    return state | {
        f"{layer}.base_layer.weight": weight,
        f"{layer}.base_layer.bias": bias,
        f"{layer}.lora_A.default.weight": torch.rand(2, weight.shape[1]),
        f"{layer}.lora_B.default.weight": torch.rand(weight.shape[0], 2),
        "network.adapter_scale": torch.tensor(2.0),
    }


def _vit() -> MFER:
    name = "vit_tiny_patch16_224"
    return MFER({"name": name, "options": {k: v for k, v in _VIT.items() if k != "img_size"}}, 7, image_size=64).eval()


LAYOUTS: dict[str, LayoutFile] = {
    "own checkpoint": LayoutFile(
        network, lambda m: {f"network.{k}": v for k, v in m.state_dict().items()}, end=".ckpt"
    ),
    "own safetensors": LayoutFile(network, lambda m: dict(m.state_dict()), end=".safetensors"),
    "own with an adapter": LayoutFile(network, _adapted, lambda s: {"state_dict": s}, ".ckpt"),
    "released MFER": LayoutFile(network, released),
    "Meta ConvNeXt": LayoutFile(network, meta_backbone, lambda s: {"model": s}),
    "timm": LayoutFile(network, _timm, lambda s: {f"module.{k}": v for k, v in s.items()}),
    "timm safetensors": LayoutFile(network, _timm, end=".safetensors"),
    "before torch 1.6": LayoutFile(network, _timm, lambda s: {"state_dict": s, "epoch": 3}, zipped=False),
    "timm transformer": LayoutFile(
        _vit,
        lambda _: timm.create_model("vit_tiny_patch16_224", num_classes=3, **{**_VIT, "img_size": 96}).state_dict(),
    ),
    "InsightFace": _face("iresnet50", _SHAPE, faces.insightface(*_SMALL)),
    "face.evoLVe": _face("ir50_evolve", _SHAPE, faces.ir(False, True, *_SMALL)),
    "POSTER V2's face network": _face(
        "ir50_evolve", {"depths": [3, 4, 14], "widths": [4, 4, 8]}, faces.split_ir([3, 4, 14], [4, 4, 8])
    ),
    "AdaFace": _face("ir50_adaface", _SHAPE, faces.ir(True, False, *_SMALL)),
    "CVLFace": _face("ir50_adaface", _SHAPE, faces.ir(True, False, *_SMALL), "net.", ".pt"),
    "MobileFaceNet": _face("mobilefacenet", {}, faces.mobilefacenet(128)),
    "DAN": LayoutFile(test_dan.small, test_dan.public, lambda s: {"model_state_dict": s}),
    "DDAMFN": LayoutFile(test_ddamfn.small, test_ddamfn.public),
    "POSTER V2": LayoutFile(test_poster2.small, test_poster2.public),
}
