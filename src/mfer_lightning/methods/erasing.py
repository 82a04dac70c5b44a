"""Random erasing: set a random rectangle of some normalised faces to zero, the mean colour.

Paper: Zhong, Zheng, Kang, Li, Yang: Random Erasing Data Augmentation, AAAI 2020, arXiv 1708.04896. Shapes as
torchvision's ``RandomErasing`` draws them, for a whole batch at once.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

#: Height over width of a rectangle: the smallest and the largest.
_RATIOS = (0.3, 3.3)
#: Random numbers that an image needs.
DRAWS = 5


def erase(images: Tensor, prob: float, area: tuple[float, float], draw: Tensor) -> Tensor:
    """Erase a rectangle of some images.

    Args:
        images: float (B,C,H,W), normalised.
        prob: share of the images.
        area: smallest and largest share of the image that a rectangle covers; its shape lies between 0.3 and 3.3. A
            side that would be longer than the image's is cut.
        draw: float (B,:data:`DRAWS`) within [0, 1) on the CPU, random numbers of each image.

    Returns:
        Images of the same shape; the others as they were.
    """
    height, width = images.shape[2:]
    which, how_much, shape, down, right = draw.unbind(1)
    share = area[0] + (area[1] - area[0]) * how_much
    ratio = torch.exp(math.log(_RATIOS[0]) + math.log(_RATIOS[1] / _RATIOS[0]) * shape)
    size = share * height * width
    tall, wide = (size * ratio).sqrt().round().clamp(max=height), (size / ratio).sqrt().round().clamp(max=width)
    tall[which >= prob] = 0
    top, left = ((height - tall + 1) * down).floor(), ((width - wide + 1) * right).floor()
    rows, columns = torch.arange(height), torch.arange(width)
    inside = (rows >= top[:, None]) & (rows < (top + tall)[:, None])
    across = (columns >= left[:, None]) & (columns < (left + wide)[:, None])
    erased = (inside[:, :, None] & across[:, None, :])[:, None].to(images.device, non_blocking=True)
    return images.masked_fill(erased, 0)
