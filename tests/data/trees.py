"""Writers of tiny datasets in the real layouts: seeded, below 1 MB, images of random shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

FERPLUS_FOLDERS = {"train": "FER2013Train", "val": "FER2013Valid", "test": "FER2013Test"}
FERPLUS_USAGES = {"train": "Training", "val": "PublicTest", "test": "PrivateTest"}


def picture(rng: np.random.Generator, size: int = 48, grey: bool = False) -> np.ndarray:
    """A smooth background with an ellipse and a bar, (size,size,3) uint8; with ``grey`` all channels are equal."""
    image = cv2.resize(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8), (size, size), interpolation=cv2.INTER_CUBIC)
    color = [int(v) for v in rng.integers(0, 256, 3)]
    center = tuple(int(v) for v in rng.integers(size // 4, 3 * size // 4, 2))
    cv2.ellipse(image, center, (size // 4, size // 6), float(rng.uniform(0, 180)), 0, 360, color, -1)
    cv2.line(image, (0, int(rng.integers(size))), (size, int(rng.integers(size))), color[::-1], 2)
    return np.repeat(image[:, :, :1], 3, axis=2) if grey else image


def votes_for(rng: np.random.Generator, label: int) -> list[int]:
    """Ten votes with a clear majority for one class, some for a second one."""
    votes = [0] * 10
    votes[label] = 7
    votes[(label + int(rng.integers(1, 8))) % 8] += 3
    return votes


def write_ferplus(
    root: Path, counts: Mapping[str, int] = {"train": 64, "val": 16, "test": 16}, seed: int = 0, size: int = 48
) -> Path:
    """Write the PNG-folder layout; label of the i-th image of a partition: i modulo 8."""
    rng = np.random.default_rng(seed)
    number = 0
    for partition, count in counts.items():
        folder = root / FERPLUS_FOLDERS[partition]
        folder.mkdir(parents=True)
        rows = []
        for i in range(count):
            name = f"fer{number:07d}.png"
            cv2.imwrite(str(folder / name), picture(rng, size, grey=True)[:, :, 0])
            rows.append(f'{name},"(0, 0, {size}, {size})",' + ",".join(map(str, votes_for(rng, i % 8))))
            number += 1
        (folder / "label.csv").write_text("\n".join(rows) + "\n")
    return root


def write_ferplus_pair(
    root: Path,
    counts: Mapping[str, int] = {"train": 24, "val": 8, "test": 8},
    seed: int = 0,
    unnamed: Sequence[int] = (3,),
) -> np.ndarray:
    """Write ``fer2013.csv`` and ``fer2013new.csv``; returns the (N,48,48) pixels of all rows, unnamed ones included."""
    rng = np.random.default_rng(seed)
    root.mkdir(parents=True, exist_ok=True)
    old, new, images = ["emotion,pixels,Usage"], ["Usage,Image name,neutral,happiness,...,unknown,NF"], []
    for partition, count in counts.items():
        for i in range(count):
            pixels = picture(rng, 48, grey=True)[:, :, 0]
            name = "" if len(images) in unnamed else f"fer{len(images):07d}.png"
            usage = FERPLUS_USAGES[partition]
            old.append(f"0,{' '.join(map(str, pixels.ravel().tolist()))},{usage}")
            new.append(f"{usage},{name}," + ",".join(map(str, votes_for(rng, i % 8))))
            images.append(pixels)
    (root / "fer2013.csv").write_text("\n".join(old) + "\n")
    (root / "fer2013new.csv").write_text("\n".join(new) + "\n")
    return np.stack(images)
