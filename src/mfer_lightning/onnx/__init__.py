"""Run exported models without torch: imports only NumPy, ONNX Runtime and Pillow.

Example:
    >>> from mfer_lightning.onnx import OnnxModel  # doctest: +SKIP
    >>> OnnxModel("runs/my-run/exports/onnx").predict(["face.png"]).labels  # doctest: +SKIP
    ('happiness',)
"""

from __future__ import annotations

from mfer_lightning.onnx.metadata import Description
from mfer_lightning.onnx.model import FacePredictions, OnnxModel

__all__ = ["Description", "FacePredictions", "OnnxModel"]
