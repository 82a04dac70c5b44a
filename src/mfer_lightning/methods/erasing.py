"""Random erasing: set a random rectangle of some normalised faces to zero, the mean colour.

Paper: Zhong, Zheng, Kang, Li, Yang: Random Erasing Data Augmentation, AAAI 2020, arXiv 1708.04896. Rectangles are
sampled as in torchvision's ``RandomErasing``, for a whole batch at once.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

#: Minimum and maximum aspect ratio (height over width) of a rectangle.
_RATIOS = (0.3, 3.3)
#: Random numbers per image.
DRAWS = 5


def erase(images: Tensor, prob: float, area: tuple[float, float], draw: Tensor) -> Tensor:
    """Erase a rectangle in some images.

    Args:
        images: float (B,C,H,W), normalised.
        prob: probability of erasing a rectangle in an image.
        area: minimum and maximum area as a fraction of the image; the aspect ratio is between 0.3 and 3.3. Sides longer
            than the image are clipped.
        draw: float (B,:data:`DRAWS`) within [0, 1) on the CPU, the random numbers of each image.

    Returns:
        Images of the same shape; those without a rectangle are unchanged.
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
