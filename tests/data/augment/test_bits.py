"""The presets, and the older options on top of them, augment bit-identically to the earlier Python implementation.

The digests were taken at commit 221e4b3, before transforms were listed in ``conf/augment``.
"""

from __future__ import annotations

import hashlib
from typing import Any

import albumentations
import cv2
import numpy as np
import pytest

from mfer_lightning.data.augment import build_augment

SPECS: dict[str, Any] = {
    "paper": "paper",
    "standard": "standard",
    "strong": "strong",
    "standard rotate=20": {"name": "standard", "rotate": 20},
    "strong flip=0 transforms": {
        "name": "strong",
        "flip": 0,
        "transforms": [
            {
                "name": "OneOf",
                "p": 0.7,
                "transforms": [{"name": "GaussianBlur", "blur_limit": [3, 5]}, {"name": "InvertImg"}],
            },
            {"name": "GaussNoise", "std_range": [0.02, 0.08], "p": 0.5},
        ],
    },
    "none shift=0.1 contrast=0.2": {"shift": 0.1, "contrast": 0.2},
}

#: First 32 hexadecimal digits of SHA-256 over the augmented faces of 48, 64 and 100 pixels.
DIGESTS = {
    "paper": [
        "6fb67d6f0333bfc10d72d8d3496ef9a7",
        "90cf09a9b4d7fcaa70a71b34ff324b97",
        "7ac259552ca7313cac8c39d26582f718",
    ],
    "standard": [
        "b4d338cd158119acac92f88d8dcce3ff",
        "876178c37ca611b4f13ce5e57ec1002e",
        "17a477ee13859ba25303e23dc94bbf78",
    ],
    "strong": [
        "f442f678a9e84c6f279f87f395bd730c",
        "bfa9986aec439bfe8de93b4d8a4b00be",
        "14b2e04e1f511a5a4b1c83fc6b797a78",
    ],
    "standard rotate=20": [
        "eeff0a86aa9a26c974c8ee25185811a2",
        "3428275b700704745090e04928b258f8",
        "21e4fe0e2742f11c0e996e22f08358bc",
    ],
    "strong flip=0 transforms": [
        "232f80a45bbd1eec5e530b0c8142a38f",
        "532edc2d93f42444cb9328e249d04e8a",
        "168ee21165453d1a44dd66f013d2636d",
    ],
    "none shift=0.1 contrast=0.2": [
        "7c2b4564d90b39ff55e93d17d5e8f220",
        "87cee73ce8648aadadb7a31db10010f2",
        "414e1548ca3dd8f1a69356bfd6a4d3af",
    ],
}

#: Library versions with which the digests were taken: OpenCV for warps, albumentations for its random numbers.
OF = {"cv2": "5.0.0", "albumentations": "2.0.8"}


def digest(augment: Any, side: int) -> str:
    faces = np.random.default_rng(side).integers(0, 256, (32, side, side, 3), dtype=np.uint8)
    found = hashlib.sha256()
    for seed in (0, 7):
        for epoch in (0, 1, 39):
            rows = np.arange(1000, 1032, dtype=np.int64)
            found.update(augment(faces.copy(), seed, np.full(32, epoch, dtype=np.int64), rows).tobytes())
    return found.hexdigest()[:32]


@pytest.mark.parametrize("name", SPECS)
def test_pixels_match_the_earlier_implementation(name: str) -> None:
    if "strong" in name and albumentations.__version__ != OF["albumentations"]:
        pytest.skip(f"the digests were taken with albumentations {OF['albumentations']}")
    if name != "paper" and cv2.__version__ != OF["cv2"]:
        pytest.skip(f"the digests were taken with OpenCV {OF['cv2']}")
    augment = build_augment(SPECS[name])
    assert [digest(augment, side) for side in (48, 64, 100)] == DIGESTS[name]
