"""Write the table of backbones in docs/backbones.md: cost, feature width, attention, available weights and licence.

``python docs/tools/backbone_table.py`` rewrites the section between the two markers; a test compares it with timm. No
weights are allocated: everything runs on torch's meta device.
"""

from __future__ import annotations

from pathlib import Path

import timm
import torch

from mfer_lightning.errors import UserError
from mfer_lightning.nn import MFER
from mfer_lightning.nn.cost import count_gflops, count_parameters

PAGE = Path(__file__).resolve().parents[1] / "backbones.md"
BEGIN, END = "<!-- backbones -->", "<!-- /backbones -->"
SIZE = 224

#: timm's name -> family, in the order of the table. The slow tests build, train, export and reload each supported one.
BACKBONES = {
    "convnext_base": "ConvNeXt (the paper's)",
    "convnext_tiny": "ConvNeXt",
    "convnext_atto": "ConvNeXt",
    "convnext_tiny.dinov3_lvd1689m": "ConvNeXt, DINOv3",
    "convnextv2_tiny": "ConvNeXt V2",
    "resnet18": "ResNet",
    "resnet50": "ResNet",
    "resnext50_32x4d": "ResNeXt",
    "res2net50_26w_4s": "Res2Net",
    "resnest26d": "ResNeSt",
    "regnety_016": "RegNet",
    "efficientnet_b0": "EfficientNet",
    "tf_efficientnetv2_s": "EfficientNet V2",
    "mobilenetv3_large_100": "MobileNet V3",
    "mobilenetv4_conv_medium": "MobileNet V4",
    "mobilenetv4_hybrid_medium": "MobileNet V4",
    "mobileone_s0": "MobileOne",
    "ghostnet_100": "GhostNet",
    "vgg16_bn": "VGG",
    "densenet121": "DenseNet",
    "hgnetv2_b0": "HGNet V2",
    "rdnet_tiny": "RDNet",
    "starnet_s1": "StarNet",
    "swin_tiny_patch4_window7_224": "Swin",
    "swinv2_tiny_window8_256": "Swin V2",
    "swinv2_cr_tiny_224": "Swin V2 (CR)",
    "maxvit_tiny_tf_224": "MaxViT",
    "coatnet_0_rw_224": "CoAtNet",
    "edgenext_small": "EdgeNeXt",
    "mobilevit_s": "MobileViT",
    "mobilevitv2_100": "MobileViT V2",
    "efficientformer_l1": "EfficientFormer",
    "efficientformerv2_s0": "EfficientFormer V2",
    "efficientvit_b0": "EfficientViT (MIT)",
    "efficientvit_m0": "EfficientViT (MSRA)",
    "swiftformer_s": "SwiftFormer",
    "poolformer_s12": "PoolFormer",
    "caformer_s18": "CAFormer",
    "convformer_s18": "ConvFormer",
    "fastvit_t8": "FastViT",
    "repvit_m1_0": "RepViT",
    "shvit_s1": "SHViT",
    "tiny_vit_5m_224": "TinyViT",
    "pvt_v2_b1": "PVT v2",
    "inception_next_tiny": "InceptionNeXt",
    "mambaout_tiny": "MambaOut",
    "davit_tiny": "DaViT",
    "focalnet_tiny_srf": "FocalNet",
    "gcvit_xxtiny": "GC ViT",
    "nextvit_small": "NextViT",
    "nest_tiny": "NesT",
    "levit_128s": "LeViT",
    "volo_d1_224": "VOLO",
    "hiera_tiny_224": "Hiera",
    "vit_tiny_patch16_224": "ViT",
    "vit_small_patch16_224": "ViT",
    "vit_base_patch16_224": "ViT",
    "deit3_small_patch16_224": "DeiT III",
    "vit_small_patch14_dinov2": "ViT, DINOv2",
    "vit_base_patch14_dinov2": "ViT, DINOv2",
    "vit_small_patch16_dinov3": "ViT, DINOv3",
    "vit_base_patch16_dinov3": "ViT, DINOv3",
    "vit_base_patch16_clip_224.openai": "ViT, CLIP",
    "vit_base_patch16_siglip_224": "ViT, SigLIP",
    "eva02_tiny_patch14_224": "EVA-02",
    "eva02_small_patch14_224": "EVA-02",
    "beit_base_patch16_224": "BEiT",
    "cait_xxs24_224": "CaiT",
    "xcit_nano_12_p16_224": "XCiT",
    "mixer_s16_224": "MLP-Mixer",
    "convmixer_768_32": "ConvMixer",
    "hrnet_w18": "HRNet",
    "twins_svt_small": "Twins",
    "mvitv2_tiny": "MViT v2",
    "crossvit_tiny_240": "CrossViT",
}

HEADER = (
    "| timm name | Family | D | Parameters (M) | GFLOPs | with DS attention (M) | with DS attention (GFLOPs) "
    "| Stages that support attention | Weights at huggingface.co | Licence |\n"
    "|---|---|---:|---:|---:|---:|---:|---|---|---|"
)


def row(name: str, size: int = SIZE) -> str:
    """Describe a backbone in one line of the table, without and with the paper's attention."""
    facts = timm.get_pretrained_cfg(name)
    cells = [f"`{name}`", BACKBONES.get(name, "")]
    with torch.device("meta"):
        try:
            plain, side = _built(name, [], size)
        except UserError as error:
            return f"| {' | '.join([*cells, *['-'] * 5, f'rejected: {reason(error, name)}', *_weights(facts)])} |"
        stages, why = legal_stages(name, side)
        cells += [str(plain.feature_dim), *_cost(plain, side)]
        cells += _cost(_built(name, stages[-2:], side)[0], side) if stages else ["-", "-"]
    numbers = ", ".join(map(str, stages)) if stages else f"none: {why}"
    cells.append(numbers if side == size else f"{numbers} (at {side} px)")
    return f"| {' | '.join([*cells, *_weights(facts)])} |"


def legal_stages(name: str, size: int) -> tuple[list[int], str]:
    """Return the stages that DS attention can follow, and the last reason why it cannot follow one; empty if none."""
    stages, why = [], ""
    for number in (1, 2, 3, 4):
        try:
            _built(name, [number], size)
            stages.append(number)
        except UserError as error:
            why = reason(error, name)
    return stages, why


def reason(error: UserError, name: str) -> str:
    """Return the first sentence of an error message, without the backbone's name."""
    return str(error).split(". ")[0].removeprefix(f"Backbone '{name}' ").rstrip(".")


def _built(name: str, stages: list[int], size: int) -> tuple[MFER, int]:
    """Build a network for a size, or if the model does not support it, for the model's default size."""
    attention = {"name": "ds", "stages": stages} if stages else "none"
    try:
        return MFER(name, attention=attention, image_size=size), size
    except UserError:
        own = timm.get_pretrained_cfg(name).input_size[-1]
        if own == size:
            raise
        return MFER(name, attention=attention, image_size=own), own


def _cost(model: MFER, size: int) -> list[str]:
    return [f"{count_parameters(model.backbone) / 1e6:.1f}", f"{count_gflops(model.backbone, size):.2f}"]


def _weights(facts: timm.models.PretrainedCfg) -> list[str]:
    return [facts.hf_hub_id or "none", (facts.license or "not stated") if facts.hf_hub_id else "-"]


def table(size: int = SIZE) -> str:
    """Describe every backbone of :data:`BACKBONES`."""
    return "\n".join([HEADER, *(row(name, size) for name in BACKBONES)])


def page(text: str, rows: str) -> str:
    """Return the page with the table between its markers."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n\n{rows}\n\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), table()), encoding="utf-8")
