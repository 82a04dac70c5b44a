"""Backbones of the documented table: each is built, trained, evaluated, reloaded and exported, or rejected."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from mfer_lightning.config.compose import compose_train
from mfer_lightning.errors import UserError
from mfer_lightning.inference.export.parity import random_faces
from mfer_lightning.inference.model import read_model
from mfer_lightning.losses import CrossEntropy, Objective
from mfer_lightning.module import FERModule
from mfer_lightning.nn import MFER, Preprocess
from mfer_lightning.optim import optimizer_for
from mfer_lightning.training.build import build_network

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "docs" / "tools"))
import backbone_table  # noqa: E402

#: Side of the images if 64 pixels is too small for the model, or not a multiple of its patch size.
SIZES = {
    "vit_small_patch14_dinov2": 56,
    "vit_base_patch14_dinov2": 56,
    "eva02_tiny_patch14_224": 56,
    "eva02_small_patch14_224": 56,
    "gcvit_xxtiny": 224,
    "nest_tiny": 224,
    "levit_128s": 224,
    "coatnet_0_rw_224": 64,
    "efficientformer_l1": 224,
    "swiftformer_s": 224,
    "volo_d1_224": 224,
    "convmixer_768_32": 70,
    "crossvit_tiny_240": 240,
}
_FLAT = ("vit_", "deit3_", "eva02_", "beit_", "cait_", "xcit_")
_BY_DEPTHS = ("convnext", "swin_", "swinv2", "maxvit", "coatnet", "edgenext", "efficientformer")
_BY_DEPTHS += ("tiny_vit", "pvt_v2", "inception_next", "mambaout", "davit", "twins", "starnet")
_BY_LAYERS = ("resnet", "resnext", "res2net", "resnest", "swiftformer", "fastvit")
_BY_DEPTH = ("efficientvit_m", "shvit", "levit")


def fewer_blocks(name: str) -> dict[str, object]:
    """Constructor options for fewer blocks; in the table each network has its full depth."""
    if name.startswith("hiera"):
        return {"stages": [1, 1, 1, 1]}
    for prefixes, options in (
        (_FLAT, {"depth": 4}),
        (_BY_DEPTHS, {"depths": [2, 2, 2, 2] if name.startswith("swin") else [1, 1, 1, 1]}),
        (_BY_LAYERS, {"layers": [1, 1, 1, 1]}),
        (_BY_DEPTH, {"depth": [1, 1, 1]}),
    ):
        if name.startswith(prefixes):
            return options  # type: ignore[return-value]
    return {}


#: Models with fewer than four stages.
STAGES = {
    "nest_tiny": [2, 3],
    "levit_128s": [2, 3],
    "efficientvit_m0": [2, 3],
    "shvit_s1": [2, 3],
    "volo_d1_224": [1, 2],
}
#: Rejected with attention, with the reason; without attention they are tested like the others.
WITHOUT_ATTENTION = {
    "hrnet_w18": "its output is a list of 3 parts",
    "twins_svt_small": "it is not called in a forward pass",
    "mvitv2_tiny": "it is not called in a forward pass",
}
REFUSED = {"crossvit_tiny_240": "does not end in a feature map but in a list of 2 parts"}
#: Not supported by ONNX, with the message of the export.
NO_ONNX: dict[str, str] = {}


def network(name: str, attention: str = "ds_depthwise") -> tuple[MFER, int]:
    size = SIZES.get(name, 64)
    spec = {"name": attention, "stages": STAGES.get(name, [3, 4])} if attention != "none" else attention
    return MFER({"name": name, "options": fewer_blocks(name)}, 3, attention=spec, image_size=size), size


def batch(size: int) -> tuple[torch.Tensor, torch.Tensor]:
    image = torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    return image, torch.eye(3)[[0, 1]]


def trained(name: str, folder: Path) -> tuple[FERModule, Path]:
    """Build, train a step, and write a checkpoint."""
    torch.manual_seed(0)
    built, size = network(name, "none" if name in WITHOUT_ATTENTION else "ds_depthwise")
    module = FERModule(built, Objective(CrossEntropy()), Preprocess(size=size), class_names=("a", "b", "c"))
    image, target = batch(size)
    layered = (  # timm lists no layers of its metaformers
        {"layer_decay": 0.9} if hasattr(built.backbone.model, "group_matcher") else {}
    )
    optimizer = optimizer_for(module.network, module.objective, {"name": "sgd", "lr": 1e-3, **layered})
    module.objective(module(image), target)["total"].backward()
    assert [key for key, p in module.network.named_parameters() if p.grad is None] == []
    optimizer.step()
    checkpoint = {"state_dict": module.state_dict(), "epoch": 0}
    module.eval().on_save_checkpoint(checkpoint)
    torch.save(checkpoint, folder / "net.ckpt")
    return module, folder / "net.ckpt"


def lived(name: str, folder: Path, export: bool = True) -> None:
    module, path = trained(name, folder)
    image, _ = batch(SIZES.get(name, 64))
    with torch.inference_mode():
        before = module(image)["logits"]
    assert before.isfinite().all()
    model = read_model(path, "cpu")
    torch.testing.assert_close(model(image)["logits"], before, rtol=1e-3, atol=1e-4)
    if not export:
        return
    from mfer_lightning.inference.export.onnx_file import save_onnx

    size = SIZES.get(name, 64)
    if name in NO_ONNX:
        with pytest.raises(UserError, match=NO_ONNX[name]):
            save_onnx(model, folder / "onnx", [random_faces(size, True)], size=size)
        return
    save_onnx(model, folder / "onnx", [random_faces(size, True)], size=size)  # raises if outputs differ


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in backbone_table.BACKBONES if name not in REFUSED])
def test_backbone_is_built_trained_evaluated_reloaded_and_exported(name: str, tmp_path: Path) -> None:
    lived(name, tmp_path)


def test_plain_transformer_is_built_trained_evaluated_and_reloaded(tmp_path: Path) -> None:
    lived("vit_tiny_patch16_224", tmp_path, export=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", WITHOUT_ATTENTION)
def test_backbone_that_cannot_use_attention_explains_why(name: str) -> None:
    with pytest.raises(UserError, match=WITHOUT_ATTENTION[name]):
        network(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED)
def test_unsupported_backbone_explains_why(name: str) -> None:
    with pytest.raises(UserError, match=REFUSED[name]):
        network(name, "none")


def test_table_has_25_families_and_60_names() -> None:
    assert len(backbone_table.BACKBONES) >= 60
    assert len(set(backbone_table.BACKBONES.values())) >= 25


def choices() -> list[str]:
    return sorted(file.stem for file in (ROOT / "conf" / "backbone").glob("*.yaml"))


@pytest.mark.parametrize(
    "choice", ["dinov2_small", *(pytest.param(c, marks=pytest.mark.slow) for c in choices() if c != "dinov2_small")]
)
def test_config_choice_is_built_at_its_own_image_size(choice: str) -> None:
    config = compose_train(["dataset=rafdb", f"backbone={choice}"])
    with torch.device("meta"):
        built = build_network(config, 7)
    size = config["preprocess"]["size"]
    assert built(torch.empty(1, 3, size, size, device="meta"))["logits"].shape == (1, 7)


@pytest.mark.slow
def test_table_row_matches_the_script() -> None:
    page = backbone_table.PAGE.read_text(encoding="utf-8")
    for name in ("resnet18", "vit_tiny_patch16_224"):
        assert backbone_table.row(name) in page, name
    listed = [name for name in backbone_table.BACKBONES if f"| `{name}` |" in page]
    assert listed == list(backbone_table.BACKBONES)


@pytest.mark.slow
def test_table_matches_the_script() -> None:
    page = backbone_table.PAGE.read_text(encoding="utf-8")
    assert backbone_table.page(page, backbone_table.table()) == page
