"""EAC, Erasing Attention Consistency: make the class activation maps of a face and its mirror image agree.

Paper: Zhang, Wang, Ling, Deng: Learn From All: Erasing Attention Consistency for Noisy Label Facial Expression
Recognition, ECCV 2022, arXiv 2207.10299. Formula, weight and erasing range follow the paper and the authors' public
script: random erasing of the face, the classification loss on the face alone, and the mean squared difference between
its class maps (class activation maps) and the mirrored maps of its mirror image, without gradients for the classifier's
weights. This project extends the method to networks with several or non-linear heads. The class maps are then the
summed logits of the heads at every position of the last feature map. For one linear head without norm, these are the
class maps of the paper plus the bias of the head, which cancels out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from mfer_lightning.errors import check_number
from mfer_lightning.methods.base import Method, Step
from mfer_lightning.methods.erasing import DRAWS, erase
from mfer_lightning.methods.random_by_face import uniforms


class EAC(Method):
    """Attention consistency between an erased face and its mirror image.

    Args:
        weight: lambda >= 0, weight of the consistency loss.
        erase_prob: probability of erasing a rectangle in a face.
        smallest: minimum area of the rectangle as a fraction of the face, within (0, 1].
        largest: maximum area of the rectangle, from ``smallest`` to 1.
        seed: random seed of the rectangles.

    Terms in addition to the objective's: ``consistency``, unweighted.

    Raises:
        ValueError: for arguments outside their range.
    """

    needs: ClassVar[tuple[str, ...]] = ("map",)
    passes: ClassVar[int] = 2

    def __init__(
        self, weight: float = 5.0, erase_prob: float = 0.5, smallest: float = 0.02, largest: float = 0.25, seed: int = 0
    ) -> None:
        super().__init__()
        self.weight = check_number("weight", weight, 0)
        self.erase_prob = check_number("erase_prob", erase_prob, 0, 1)
        self.smallest = check_number("smallest", smallest, 0, 1, excluded="low")
        self.largest = check_number("largest", largest, smallest, 1)
        self.seed = seed

    def forward(self, batch: Mapping[str, Tensor], step: Step) -> dict[str, Tensor]:
        """Compute the objective on the erased face, and how its class maps differ from those of its mirror image."""
        draw = uniforms(self.seed, step.epoch, batch["index"], DRAWS)
        image = erase(batch["image"], self.erase_prob, (self.smallest, self.largest), draw)
        output, mirrored = step.network(image), step.network(image.flip(3))
        terms = dict(step.objective(output, batch["target"]))
        maps = (step.network.class_maps(seen["map"]) for seen in (output, mirrored))  # type: ignore[operator]
        terms["consistency"] = consistency(*maps)
        terms["total"] = terms["total"] + self.weight * terms["consistency"]
        return terms


def consistency(maps: Tensor, mirrored: Tensor) -> Tensor:
    """Compute the mean squared difference between class maps (B,K,h,w) and the flipped maps of the mirror image."""
    return F.mse_loss(maps.float(), mirrored.flip(3).float())
