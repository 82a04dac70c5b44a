"""Detect faces in photos and align them to a named template. Does not import torch."""

from mfer_lightning.align.aligner import AlignedFace, Aligner
from mfer_lightning.align.detectors import DETECTORS, Detection, Detector, build_detector
from mfer_lightning.align.geometry import similarity, transform_points, warp
from mfer_lightning.align.templates import TEMPLATES, Template, get_template

__all__ = [
    "DETECTORS",
    "TEMPLATES",
    "AlignedFace",
    "Aligner",
    "Detection",
    "Detector",
    "Template",
    "build_detector",
    "get_template",
    "similarity",
    "transform_points",
    "warp",
]
