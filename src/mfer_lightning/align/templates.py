"""Templates: the positions of the five landmarks in an aligned face, named and versioned.

Points are left eye, right eye, nose tip, left and right corner of the mouth, left and right as seen in the picture.
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
        name: of the template.
        version: counts changes of its points.
        width: of the crop that the points are given on, in pixels.
        height: of that crop.
        points: five (x, y).
    """

    name: str
    version: int
    width: int
    height: int
    points: tuple[tuple[float, float], ...]

    @property
    def identity(self) -> str:
        """Name and version, as checkpoints carry them: ``"face-evolve-112@1"``."""
        return f"{self.name}@{self.version}"

    def scaled(self, size: int, margin: float = 0.0) -> tuple[NDArray[np.float64], int, int]:
        """Scale the points to a crop of another size.

        Args:
            size: height of the crop in pixels; the width follows.
            margin: further border on each side, as a share of the template's own size.

        Returns:
            (5,2) points, width and height.

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
        # Pixel centres: a point at the middle of the first pixel stays in the middle of what that pixel becomes.
        return (points + 0.5) * factor - 0.5, width, size


#: Medians over 701 training faces of FERPlus (benchmarks/dataset_templates.py): its own crops are not
#: aligned, and the median deviation of a coordinate is 3 to 5% of the side.
_FERPLUS = ((14.6, 18.2), (32.6, 17.9), (23.7, 28.4), (16.5, 37.3), (31.3, 37.1))
#: Medians over 120 training faces of the renderer, by the same script; deviation 3 to 5% of the side.
_FACS = ((22.8, 27.6), (40.6, 27.5), (32.2, 38.2), (24.4, 47.4), (39.6, 48.4))

#: face.evoLVe's template is what the MFER paper aligns to; its square form is the 96-wide one with 8 pixels more on
#: each side. ArcFace's reference points are the same numbers.
_TEMPLATES = (
    Template("face-evolve-112", 1, 112, 112, _ARCFACE),
    Template("face-evolve-96x112", 1, 96, 112, _FACE_EVOLVE),
    Template("ferplus-48", 1, 48, 48, _FERPLUS),
    Template("facs-64", 1, 64, 64, _FACS),
)
TEMPLATES: Mapping[str, Template] = MappingProxyType({template.name: template for template in _TEMPLATES})


def get_template(name: str) -> Template:
    """Look up a template by name, with or without its version.

    Raises:
        UserError: if there is none, or of another version.

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
