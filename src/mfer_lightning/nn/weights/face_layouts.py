"""Recognise public weight files of face-recognition networks by their tensor names.

InsightFace (https://github.com/deepinsight/insightface), InsightFace_Pytorch (https://github.com/TreB1eN/InsightFace_Pytorch),
face.evoLVe (https://github.com/ZhaoJ9014/face.evoLVe), POSTER V2 (https://github.com/Talented-Q/POSTER_V2), AdaFace
(https://github.com/mk-minchul/AdaFace), CVLFace (https://github.com/mk-minchul/CVLface), and DDAMFN for MixedFeatureNet
(https://github.com/simon20010923/DDAMFN): the tensor names and the colour orders are facts taken from these
repositories.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mfer_lightning.nn.backbones.faces.mixedfeaturenet import never_called

#: POSTER V2 has one module per stage, with blocks counted from 0: stage, number of earlier blocks, number of blocks.
_SPLIT_STAGES = ((1, 0, 3), (2, 3, 4), (3, 7, 14))
_SPLIT = tuple(
    (rf"^body\.{before + block}\.", f"body{stage}.{block}.")
    for stage, before, depth in _SPLIT_STAGES
    for block in range(depth)
)
#: InsightFace uses numbers for the modules that InsightFace_Pytorch names.
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
    """Tensor names in one project's files of one network.

    Args:
        words: name of the project, for messages.
        backbone: our name for the network.
        colour: channel order used by the project; None: files with either order exist.
        left_out: modules of the file without a counterpart in a backbone: identity embedding, loss.
        renames: patterns of our names and their replacements in the file, applied in order.
        options: options of the backbone, if the project's network differs from the default.
        made: our modules that such a file does not contain.
    """

    words: str
    backbone: str
    colour: str | None
    left_out: tuple[str, ...]
    renames: tuple[tuple[str, str], ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    made: tuple[str, ...] = ()

    def theirs(self, name: str) -> str:
        """Translate one of the network's names to the name in the file.

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
        backbone: our name for the network.
        ours: names of the network's tensors.
        keys: names in the file.

    Returns:
        The layout that shares the most names with the file; None if none matches or the network has no layouts.
    """
    ours, given = list(ours), set(keys)
    shared = {
        number: len(given.intersection(map(layout.theirs, ours)))
        for number, layout in enumerate(LAYOUTS)
        if layout.backbone == backbone
    }
    best = max(shared, key=lambda number: shared[number], default=None)
    return None if best is None or not shared[best] else LAYOUTS[best]
