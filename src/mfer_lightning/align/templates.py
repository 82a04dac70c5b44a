"""Templates: named and versioned positions of the five landmarks in an aligned face.

Points are left eye, right eye, nose tip, left and right corner of the mouth, with left and right as seen in the image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.errors import UserError, check_number, nearest

LANDMARKS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")

_FACE_EVOLVE = ((30.2946, 51.6963), (65.5318, 51.5014), (48.0252, 71.7366), (33.5493, 92.3655), (62.7299, 92.2041))
_ARCFACE = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))


@dataclass(frozen=True)
class Template:
    """Five points on a crop.

    Args:
        name: name of the template.
        version: version number of its points.
        width: width in pixels of the crop that the points refer to.
        height: height of that crop in pixels.
        points: five (x, y) in pixels.
    """

    name: str
    version: int
    width: int
    height: int
    points: tuple[tuple[float, float], ...]

    @property
    def identity(self) -> str:
        """Name and version, as stored in checkpoints: ``"face-evolve-112@1"``."""
        return f"{self.name}@{self.version}"

    def scaled(self, size: int, margin: float = 0.0) -> tuple[NDArray[np.float64], int, int]:
        """Scale the points to a crop of a different size.

        Args:
            size: height of the crop in pixels, including the margin, at least 8; the aspect ratio is preserved.
            margin: extra border on each side, as a fraction of the template's size, 0 to 2.

        Returns:
            (5,2) points, and the width and height of the crop in pixels.

        Raises:
            ValueError: if the size or margin is out of range.

        Example:
            >>> points, width, height = get_template("face-evolve-96x112").scaled(224)
            >>> points[0].round(3).tolist(), width, height
            ([61.089, 103.893], 192, 224)
        """
        if size < 8:
            raise ValueError(f"Expected argument `size` to be at least 8 pixels, but got {size}.")
        check_number("margin", margin, 0, 2)
        factor = size / (self.height * (1 + 2 * margin))
        width = round(self.width * (1 + 2 * margin) * factor)
        points = np.array(self.points) + margin * np.array([self.width, self.height])
        # Pixel centres: a point at the centre of the first pixel maps to the centre of the scaled pixel.
        return (points + 0.5) * factor - 0.5, width, size


#: Median landmarks over 701 training faces of FERPlus (benchmarks/dataset_templates.py). The crops of FERPlus are not
#: aligned: the median deviation of a coordinate is 3 to 4% of the side.
_FERPLUS = ((14.6, 18.2), (32.6, 17.9), (23.7, 28.4), (16.5, 37.3), (31.3, 37.1))
#: Median landmarks over 120 rendered training faces of facs, by the same script; deviation 3 to 5% of the side.
_FACS = ((22.8, 27.6), (40.6, 27.5), (32.2, 38.2), (24.4, 47.4), (39.6, 48.4))

#: The MFER paper aligns to the template of face.evoLVe. The square template is the one of width 96 with 8 more pixels
#: on the left and right. ArcFace uses the same points.
_TEMPLATES = (
    Template("face-evolve-112", 1, 112, 112, _ARCFACE),
    Template("face-evolve-96x112", 1, 96, 112, _FACE_EVOLVE),
    Template("ferplus-48", 1, 48, 48, _FERPLUS),
    Template("facs-64", 1, 64, 64, _FACS),
)
TEMPLATES: Mapping[str, Template] = MappingProxyType({template.name: template for template in _TEMPLATES})


def get_template(name: str) -> Template:
    """Return a template by name, with or without its version.

    Raises:
        UserError: if it does not exist, or its version is different.

    Example:
        >>> get_template("face-evolve-112@1").identity
        'face-evolve-112@1'
    """
    short, _, version = name.partition("@")
    if short not in TEMPLATES:
        raise UserError(f"There is no alignment template {name!r}: {nearest(short, TEMPLATES)}")
    found = TEMPLATES[short]
    if version and version != str(found.version):
        raise UserError(f"Alignment template {name}: this version of mfer_lightning has {found.identity}.")
    return found
