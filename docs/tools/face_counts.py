"""Write the parameter counts of the face networks in docs/weights.md: those of this package and the published ones.

``python docs/tools/face_counts.py`` rewrites the section between the two markers; a test checks that the page is up to
date. No weights are allocated: everything runs on torch's meta device.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn

from mfer_lightning.nn.backbones import faces  # noqa: F401 - registers the face networks with timm

PAGE = Path(__file__).resolve().parents[1] / "weights.md"
BEGIN, END = "<!-- face counts -->", "<!-- /face counts -->"


@dataclass(frozen=True)
class Published:
    """A published count.

    Args:
        count: the published number: an int, or a string in millions such as ``"0.993"``.
        where: the source, as Markdown.
        how: ``"all"`` parameters; ``"folded"``, with batch norms folded into convolutions, so that one of their two
            vectors remains; ``"no PReLU"``, as counted by THOP, which ignores PReLU.
    """

    count: int | str
    where: str
    how: str = "all"


@dataclass(frozen=True)
class Face:
    """A face network with its identity embedding.

    Args:
        backbone: our name.
        embedding: width of the identity embedding.
        published: published counts; empty if none was found.
        options: arguments of the constructor.
    """

    backbone: str
    embedding: int
    published: tuple[Published, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


_FACEX = "[FaceX-Zoo](https://github.com/JDAI-CV/FaceX-Zoo/blob/main/training_mode/README.md)"
_DATN = (
    "[nhatky160103/DATN](https://github.com/nhatky160103/DATN/blob/main/docs/arcface-research.md), InsightFace's code"
)
_REPVGG = "[vinhtq115/arcface_repvgg](https://github.com/vinhtq115/arcface_repvgg), InsightFace's code"
_OPEN = (
    "https://github.com/openvinotoolkit/open_model_zoo/blob/master/models/public/face-recognition-mobilefacenet-arcface/"
    "face-recognition-mobilefacenet-arcface.md"
)
FACES = (
    Face("mobilefacenet", 128, (Published("0.993", f"[Open Model Zoo]({_OPEN})", "folded"),)),
    Face(
        *("mobilefacenet", 512),
        (
            Published("1.20", "[cavaface](https://github.com/cavalleria/cavaface/blob/master/docs/MODEL_ZOO.md)"),
            Published("1.19", _FACEX, "no PReLU"),
        ),
    ),
    Face(
        *("mobilefacenet", 512),
        (Published(2_059_520, _REPVGG),),
        {"scale": 2},
    ),
    Face("iresnet50", 512, (Published(43_590_848, _DATN),)),
    Face("iresnet100", 512, (Published(65_156_160, _DATN),)),
    Face("ir50_evolve", 512, (Published("43.57", f"{_FACEX}, `Resnet50-ir`", "no PReLU"),)),
    Face("ir50_adaface", 512),
)

HEADER = (
    "| `backbone=` | Identity embedding | Whole network | Backbone alone | Published, whole | Where |\n"
    "|---|---:|---:|---:|---:|---|"
)


def build(face: Face, embedding: int) -> nn.Module:
    """Build a network without allocating memory; an embedding of 0 gives only the backbone."""
    with torch.device("meta"):
        network: nn.Module = timm.create_model(face.backbone, num_classes=embedding, **face.options)
    return network


def count(network: nn.Module, how: str = "all") -> int:
    """Count parameters in one of the ways of :class:`Published`."""
    total = sum(p.numel() for p in network.parameters())
    if how == "folded":
        norms = [m for m in network.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))]
        return total - sum(norm.num_features for norm in norms)
    if how == "no PReLU":
        return total - sum(p.numel() for m in network.modules() if isinstance(m, nn.PReLU) for p in m.parameters())
    return total


def agrees(face: Face, published: Published) -> bool:
    """Whether our count equals the published one in all its digits."""
    found = count(build(face, face.embedding), published.how)
    if isinstance(published.count, int):
        return found == published.count
    digits = len(published.count.partition(".")[2])
    return f"{found / 1e6:.{digits}f}" == published.count


def row(face: Face) -> str:
    """Describe a network in one line of the table."""
    options = "".join(f", `backbone.options.{name}={value}`" for name, value in face.options.items())
    cells = [f"`{face.backbone}`{options}", str(face.embedding)]
    cells += [f"{count(build(face, embedding)):,}" for embedding in (face.embedding, 0)]
    counts = [f"{p.count:,}" if isinstance(p.count, int) else f"{p.count} M" for p in face.published]
    notes = {"all": "", "folded": " (batch norms folded)", "no PReLU": " (by THOP, PReLU not counted)"}
    wheres = [f"{p.where}{notes[p.how]}" for p in face.published]
    cells += [", ".join(counts) or "none found", "; ".join(wheres) or "counted from the tensors in the project's files"]
    return f"| {' | '.join(cells)} |"


def table() -> str:
    """Describe every network of :data:`FACES`."""
    return "\n".join([HEADER, *map(row, FACES)])


def page(text: str, rows: str) -> str:
    """Return the page with the table between its markers."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n\n{rows}\n\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), table()), encoding="utf-8")
