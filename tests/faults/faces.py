"""Test photos: synthetic faces on noise."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from mfer_lightning.data.facs import FacsGenerator

_FACES = FacsGenerator(size=64, seed=5)


def photo(number: int, width: int = 96, height: int = 80) -> np.ndarray:
    """Return photo ``number``, (height,width,3) RGB: a face of 64 pixels at a random position on noise."""
    random = np.random.default_rng(number)
    picture = random.integers(0, 255, (height, width, 3), dtype=np.uint8)
    x, y = (int(random.integers(0, side - 63)) for side in (width, height))
    picture[y : y + 64, x : x + 64] = _FACES.image("train", number)
    return picture


def write_photo(path: Path, number: int, **size: int) -> Path:
    """Write a photo in a lossless format."""
    assert cv2.imwrite(str(path), photo(number, **size)[:, :, ::-1])
    return path


def memory(process: int | str = "self") -> dict[str, int]:
    """Return the current (``VmRSS``) and peak (``VmHWM``) resident memory of a process, in bytes."""
    lines = (line.split() for line in Path(f"/proc/{process}/status").read_text().splitlines())
    return {words[0].rstrip(":"): 1024 * int(words[1]) for words in lines if words[0] in ("VmRSS:", "VmHWM:")}
