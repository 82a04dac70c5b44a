"""Face-recognition networks at 112 pixels, registered with timm: their names work wherever a timm name does.

Importing this package registers them. The names of their submodules follow the public weight files.
"""

from __future__ import annotations

from mfer_lightning.nn.backbones.faces.ir50 import ir50_adaface, ir50_evolve
from mfer_lightning.nn.backbones.faces.iresnet import iresnet50, iresnet100
from mfer_lightning.nn.backbones.faces.mixedfeaturenet import mixedfeaturenet
from mfer_lightning.nn.backbones.faces.mobilefacenet import mobilefacenet

#: The names, as in ``backbone.name=``.
FACE_NETWORKS = tuple(
    f.__name__ for f in (mobilefacenet, mixedfeaturenet, iresnet50, iresnet100, ir50_evolve, ir50_adaface)
)

__all__ = [
    "FACE_NETWORKS",
    "ir50_adaface",
    "ir50_evolve",
    "iresnet50",
    "iresnet100",
    "mixedfeaturenet",
    "mobilefacenet",
]
