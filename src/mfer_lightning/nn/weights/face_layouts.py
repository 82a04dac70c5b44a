"""Recognise the public files of face-recognition networks by the names in them.

InsightFace (https://github.com/deepinsight/insightface), InsightFace_Pytorch (https://github.com/TreB1eN/InsightFace_Pytorch),
face.evoLVe (https://github.com/ZhaoJ9014/face.evoLVe), POSTER V2 (https://github.com/Talented-Q/POSTER_V2) AdaFace
(https://github.com/mk-minchul/AdaFace) and CVLFace (https://github.com/mk-minchul/CVLface): the names of their tensors
and the order of their colours are facts read there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mfer_lightning.nn.backbones.faces.mixedfeaturenet import never_called

#: POSTER V2 has a module for each stage, with blocks counted from 0: stage, blocks before it, its blocks.
_SPLIT_STAGES = ((1, 0, 3), (2, 3, 4), (3, 7, 14))
_SPLIT = tuple(
    (rf"^body\.{before + block}\.", f"body{stage}.{block}.")
    for stage, before, depth in _SPLIT_STAGES
    for block in range(depth)
)
#: InsightFace numbers what InsightFace_Pytorch names.
_NUMBERED = (
    (r"^conv_6_sep\.", "conv_sep."),
    (r"^conv1\.", "layers.0."),
    (r"^conv2_dw\.", "layers.1."),
    (r"^conv_23\.", "layers.2."),
    (r"^conv_3\.model\.", "layers.3.layers."),
    (r"^conv_34\.", "layers.4."),
    (r"^conv_4\.model\.", "layers.5.layers."),
    (r"^conv_45\.", "layers.6."),
    (r"^conv_5\.model\.", "layers.7.layers."),
    (r"\.conv\.(?=conv|bn|prelu)", ".layers.0."),
    (r"\.conv_dw\.", ".layers.1."),
    (r"\.project\.", ".layers.2."),
    (r"\.conv\.", ".layers.0."),
    (r"\.bn\.", ".layers.1."),
    (r"\.prelu\.", ".layers.2."),
)


@dataclass(frozen=True)
class FaceLayout:
    """The names in one project's files of one network.

    Args:
        words: the project, for messages.
        backbone: our name of the network.
        colour: the order of the channels that the project trains on; None: there are files of either kind.
        left_out: the file's modules without a counterpart in a backbone: the identity embedding, the loss.
        renames: patterns of our names and what they are in the file, one after the other.
        options: of the backbone, where the project's network differs from the one that has the name.
        made: our modules that such a file does not hold.
    """

    words: str
    backbone: str
    colour: str | None
    left_out: tuple[str, ...]
    renames: tuple[tuple[str, str], ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    made: tuple[str, ...] = ()

    def theirs(self, name: str) -> str:
        """Translate one of the network's own names.

        Example:
            >>> LAYOUTS[2].theirs("conv_3.model.2.conv_dw.bn.weight")
            'layers.3.layers.2.layers.1.layers.1.weight'
        """
        for pattern, replacement in self.renames:
            name = re.sub(pattern, replacement, name)
        return name


_EMBEDDING = ("output_layer.3", "output_layer.4")
LAYOUTS = (
    FaceLayout("MobileFaceNet", "mobilefacenet", None, ("conv_6_dw", "linear", "bn", "output_layer")),
    FaceLayout("MixedFeatureNet", "mixedfeaturenet", "RGB", ("conv_6_dw", "linear", "bn", *never_called())),
    FaceLayout("InsightFace MobileFaceNet", "mobilefacenet", "RGB", ("features",), _NUMBERED, {"scale": 2}),
    FaceLayout("InsightFace", "iresnet50", "RGB", ("fc", "features")),
    FaceLayout("InsightFace", "iresnet100", "RGB", ("fc", "features")),
    FaceLayout("face.evoLVe", "ir50_evolve", "RGB", _EMBEDDING),
    FaceLayout(
        *("POSTER V2", "ir50_evolve", "RGB", ("output_layer",), _SPLIT),
        options={"depths": [3, 4, 14]},
        made=("output_layer",),
    ),
    FaceLayout("AdaFace", "ir50_adaface", "BGR", _EMBEDDING),
    FaceLayout(
        *("AdaFace checkpoint", "ir50_adaface", "BGR"),
        ("head", *(f"model.{name}" for name in _EMBEDDING)),
        ((r"^", "model."),),
    ),
    *(
        FaceLayout(
            *("CVLFace", "ir50_adaface", "RGB", tuple(f"{prefix}{name}" for name in _EMBEDDING)),
            ((r"^", prefix),),
        )
        for prefix in ("net.", "model.net.")  # model.pt, and model.safetensors of the hub
    ),
)


def face_layout(backbone: str, ours: Iterable[str], keys: Iterable[str]) -> FaceLayout | None:
    """Find the layout of a file among those of a network.

    Args:
        backbone: our name of the network.
        ours: names of the network's tensors, its own.
        keys: names in the file.

    Returns:
        The layout that shares most names with the file; None where none shares any, or the network has no layouts.
    """
    ours, given = list(ours), set(keys)
    shared = {
        number: len(given.intersection(map(layout.theirs, ours)))
        for number, layout in enumerate(LAYOUTS)
        if layout.backbone == backbone
    }
    best = max(shared, key=lambda number: shared[number], default=None)
    return None if best is None or not shared[best] else LAYOUTS[best]
