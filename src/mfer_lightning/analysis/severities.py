"""Define the robustness suite: the amount of each change at each severity.

The amounts are the published parameters of CIFAR-10-C at 32 pixels and ImageNet-C at 224 pixels (Hendrycks and
Dietterich, ICLR 2019, arXiv 1903.12261; code under Apache 2.0, of which only these numbers are used). For faces between
32 and 224 pixels, amounts are interpolated linearly in the logarithm of the side. Outside this range, the amounts of
the nearer size apply, and lengths in pixels are scaled in proportion to the side.

The amounts of ``darkness`` (the opposite of brightness), of ``motion_blur`` (the length of a uniform motion; the
original uses ImageMagick), of low resolution and of all changes to the crop are this project's own. Weather is left out
because it does not affect indoor photos. Glass blur and elastic transforms are left out because they move facial
features and may thus change the expression.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

#: Version of the definition, increased with every change. Results of different versions are not comparable.
VERSION = 1

#: Severities of every change except low resolution.
SEVERITIES = (1, 2, 3, 4, 5)

_SMALL, _LARGE = 32, 224


@dataclass(frozen=True)
class Table:
    """Amounts of one change.

    Args:
        group: ``"noise"``, ``"blur"``, ``"light"``, ``"digital"`` (together the corruptions) or ``"crop"``.
        small: amounts at 32 pixels, one per severity.
        large: amounts at 224 pixels.
        unit: name of the unit.
        pixels: whether the amount is a length in pixels.
    """

    group: str
    small: tuple[float, ...]
    large: tuple[float, ...]
    unit: str
    pixels: bool = False

    def amount(self, severity: int, side: int) -> float:
        """Return the amount for a severity (1 to 5) on faces of ``side`` pixels, in :attr:`unit`."""
        small, large = self.small[severity - 1], self.large[severity - 1]
        place = math.log(min(max(side, _SMALL), _LARGE) / _SMALL) / math.log(_LARGE / _SMALL)
        beyond = max(side / _LARGE, 1.0) * min(side / _SMALL, 1.0) if self.pixels else 1.0
        return (small + place * (large - small)) * beyond


def _same(group: str, amounts: tuple[float, ...], unit: str) -> Table:
    return Table(group, amounts, amounts, unit)


_TABLES = {
    "gaussian_noise": Table(
        "noise", (0.04, 0.06, 0.08, 0.09, 0.10), (0.08, 0.12, 0.18, 0.26, 0.38), "standard deviation (white: 1)"
    ),
    "shot_noise": Table("noise", (500, 250, 100, 75, 50), (60, 25, 12, 5, 3), "photons at white"),
    "impulse_noise": Table(
        "noise", (0.01, 0.02, 0.03, 0.05, 0.07), (0.03, 0.06, 0.09, 0.17, 0.27), "fraction of values"
    ),
    "defocus_blur": Table("blur", (0.3, 0.4, 0.5, 1.0, 1.5), (3, 4, 6, 8, 10), "radius in pixels", pixels=True),
    "motion_blur": Table("blur", (2, 3, 4, 5, 6), (6, 10, 14, 18, 22), "length in pixels", pixels=True),
    "zoom_blur": Table("blur", (1.05, 1.10, 1.15, 1.20, 1.25), (1.10, 1.15, 1.20, 1.25, 1.30), "largest zoom"),
    "brightness": Table("light", (0.05, 0.1, 0.15, 0.2, 0.3), (0.1, 0.2, 0.3, 0.4, 0.5), "added to HSV value"),
    "darkness": Table("light", (0.05, 0.1, 0.15, 0.2, 0.3), (0.1, 0.2, 0.3, 0.4, 0.5), "subtracted from HSV value"),
    "contrast": Table("light", (0.75, 0.5, 0.4, 0.3, 0.15), (0.4, 0.3, 0.2, 0.1, 0.05), "remaining contrast"),
    "jpeg": Table("digital", (80, 65, 58, 50, 40), (25, 18, 15, 10, 7), "JPEG quality"),
    "pixelate": Table(
        "digital", (0.95, 0.9, 0.85, 0.75, 0.65), (0.6, 0.5, 0.4, 0.3, 0.25), "remaining fraction of the side"
    ),
    "shift": _same("crop", (0.02, 0.04, 0.06, 0.08, 0.10), "fraction of the side, any direction"),
    "rotation": _same("crop", (4, 8, 12, 16, 20), "degrees, either direction"),
    "larger": _same("crop", (1.04, 1.08, 1.12, 1.16, 1.20), "scale of the face (tighter crop)"),
    "smaller": _same("crop", (0.96, 0.92, 0.88, 0.84, 0.80), "scale of the face (looser crop)"),
}
#: Every change except low resolution, by name.
TABLES: Mapping[str, Table] = MappingProxyType(_TABLES)

#: Sides in pixels to which faces are shrunk (and enlarged again), largest first.
RESOLUTIONS = (112, 64, 48, 32, 24, 16)

CORRUPTIONS = tuple(name for name, table in TABLES.items() if table.group != "crop")
MISALIGNMENTS = tuple(name for name, table in TABLES.items() if table.group == "crop")
