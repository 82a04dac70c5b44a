"""Face detectors by name, one file per detector.

To add a detector, write a module with a class that has a ``declaration`` and a method ``detect``, and add the class to
:data:`DETECTORS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from mfer_lightning.align.detectors.base import Declaration, DeclaredDetector, Detection, Detector
from mfer_lightning.align.detectors.mtcnn import MTCNNDetector
from mfer_lightning.align.detectors.yunet import YuNetDetector
from mfer_lightning.errors import UserError, nearest

__all__ = ["DETECTORS", "Declaration", "Detection", "Detector", "MTCNNDetector", "YuNetDetector", "build_detector"]

#: Detector classes by name.
DETECTORS: Mapping[str, type[DeclaredDetector]] = MappingProxyType(
    {detector.declaration.name: detector for detector in (MTCNNDetector, YuNetDetector)}
)


def build_detector(name: str, **options: Any) -> Detector:
    """Build a detector.

    Args:
        name: a name in :data:`DETECTORS`.
        **options: options of its class.

    Raises:
        UserError: for an unknown name or option, an illegal value, or if the package or model file is missing.
    """
    if name not in DETECTORS:
        raise UserError(f"There is no face detector {name!r}: {nearest(name, DETECTORS)}")
    try:
        return DETECTORS[name](**options)
    except ImportError as error:
        raise UserError(DETECTORS[name].declaration.needs) from error
    except (TypeError, ValueError) as error:
        raise UserError(f"Face detector {name}: {error}") from error
