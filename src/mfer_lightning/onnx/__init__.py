"""Exported models without torch: NumPy, ONNX Runtime and Pillow are all that is imported here.

Example:
    >>> from mfer_lightning.onnx import OnnxModel  # doctest: +SKIP
    >>> OnnxModel("runs/my-run/exports/onnx").predict(["face.png"]).labels  # doctest: +SKIP
    ('happiness',)
"""

from __future__ import annotations

from mfer_lightning.onnx.metadata import Description
from mfer_lightning.onnx.model import FacePredictions, OnnxModel

__all__ = ["Description", "FacePredictions", "OnnxModel"]
