"""Print a markdown table of backbone families: cost, feature width, whether attention fits.

``python benchmarks/backbones.py > table.md``; docs/backbones.md holds its output. No weights are made and nothing is
computed: everything runs on the meta device.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import torch

from mfer_lightning.errors import UserError
from mfer_lightning.nn import MFER
from mfer_lightning.nn.cost import count_gflops, count_parameters

#: (family, timm name), the commoner first.
FAMILIES = (
    ("ConvNeXt (the paper's)", "convnext_base"),
    ("ConvNeXt", "convnext_tiny"),
    ("ConvNeXt", "convnext_atto"),
    ("ConvNeXt V2", "convnextv2_tiny"),
    ("ResNet", "resnet18"),
    ("ResNet", "resnet50"),
    ("ResNeXt", "resnext50_32x4d"),
    ("RegNet", "regnety_016"),
    ("EfficientNet", "efficientnet_b0"),
    ("EfficientNet V2", "efficientnetv2_rw_t"),
    ("MobileNet V3", "mobilenetv3_large_100"),
    ("MobileNet V4", "mobilenetv4_conv_medium"),
    ("Swin", "swin_tiny_patch4_window7_224"),
    ("Swin V2", "swinv2_cr_tiny_224"),
    ("EdgeNeXt", "edgenext_small"),
    ("MaxViT", "maxvit_tiny_tf_224"),
    ("CoAtNet", "coatnet_0_rw_224"),
    ("PoolFormer", "poolformer_s12"),
    ("CAFormer", "caformer_s18"),
    ("FastViT", "fastvit_t8"),
    ("RepViT", "repvit_m1_0"),
    ("PVT v2", "pvt_v2_b1"),
    ("InceptionNeXt", "inception_next_tiny"),
    ("MambaOut", "mambaout_tiny"),
    ("DaViT", "davit_tiny"),
    ("DenseNet", "densenet121"),
    ("VGG", "vgg16_bn"),
    ("NesT", "nest_tiny"),
    ("LeViT", "levit_128s"),
    ("HRNet", "hrnet_w18"),
    ("Twins", "twins_svt_small"),
    ("MViT v2", "mvitv2_tiny"),
    ("Hiera", "hiera_tiny_224"),
    ("ViT", "vit_small_patch16_224"),
)


@dataclass
class Row:
    """One line of the table."""

    family: str
    name: str
    feature: str
    plain: str
    attended: str
    fits: str

    def __str__(self) -> str:
        return f"| {self.family} | `{self.name}` | {self.feature} | {self.plain} | {self.attended} | {self.fits} |"


def cost(model: MFER, size: int) -> str:
    """Parameters in millions and thousand million multiply-adds, without the heads."""
    return f"{count_parameters(model.backbone) / 1e6:.1f} | {count_gflops(model.backbone, size):.2f}"


def row(family: str, name: str, size: int) -> Row:
    """Build a family with and without attention."""
    with torch.device("meta"):
        plain = MFER(name, attention="none")
        feature, first = str(plain.feature_dim), cost(plain, size)
        try:
            return Row(family, name, feature, first, cost(MFER(name), size), "yes")
        except UserError as error:
            reason = str(error).split(". ")[0].removeprefix(f"Backbone '{name}' ")
            return Row(family, name, feature, first, "- | -", f"no: {reason}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=224, help="image side in pixels")
    size = parser.parse_args().size
    print(
        "| Family | timm name | Feature width D | Parameters (M), plain | GFLOPs, plain "
        "| Parameters (M), DS attention | GFLOPs, DS attention | Attention fits (stages 3 and 4) |"
    )
    print("|---|---|---:|---:|---:|---:|---:|---|")
    for family, name in FAMILIES:
        print(row(family, name, size), flush=True)


if __name__ == "__main__":
    main()
