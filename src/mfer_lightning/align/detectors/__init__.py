"""Face detectors by name. A new one is a module here with a class that has ``detect``, and a line below."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any

from mfer_lightning.align.detection import Detector
from mfer_lightning.errors import UserError, nearest

#: Name -> module and class.
DETECTORS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "mtcnn": ("mfer_lightning.align.detectors.mtcnn", "MTCNNDetector"),
        "yunet": ("mfer_lightning.align.detectors.yunet", "YuNetDetector"),
    }
)


def build_detector(name: str, **options: Any) -> Detector:
    """Build a detector.

    Args:
        name: of :data:`DETECTORS`.
        **options: of its class.

    Raises:
        UserError: for an unknown name or option, or where its package or model is missing.
    """
    if name not in DETECTORS:
        raise UserError(f"There is no face detector {name!r}: {nearest(name, DETECTORS)}")
    module, cls = DETECTORS[name]
    try:
        detector: Detector = getattr(import_module(module), cls)(**options)
    except (TypeError, ValueError) as error:
        raise UserError(f"Face detector {name}: {error}") from error
    return detector
