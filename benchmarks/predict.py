"""Measure the time of each step of prediction: reading, detection, landmark refinement, cropping, network.

    python benchmarks/predict.py runs/<run> photos --photos 60

Runs the steps of `mfer predict` on each photo in one process, and prints the mean time per photo of each step and its
share of the total.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from time import perf_counter

import numpy as np

from mfer_lightning import load_model
from mfer_lightning.align.refine_landmarks import refine
from mfer_lightning.inference.media.photo_files import find_photos
from mfer_lightning.inference.media.photos import read_photo
from mfer_lightning.plurals import counted


def main() -> None:
    """Time the steps on some photos of a folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint")
    parser.add_argument("photos", type=Path, help="folder of photos")
    parser.add_argument("--photos", dest="count", type=int, default=60, help="maximum number of photos")
    options = parser.parse_args()
    started = perf_counter()
    model = load_model(options.checkpoint, "cpu")
    finder = model.finder()
    print(f"loading {perf_counter() - started:.2f} s")
    aligner = finder.aligner
    steps: dict[str, list[float]] = {"read": [], "detect": [], "refine": [], "align": []}
    crops = []
    paths = find_photos(options.photos).paths[: options.count]
    for path in paths:
        marks = [perf_counter()]
        image = read_photo(path).image
        marks.append(perf_counter())
        if image is None:
            continue
        found = aligner.detector.detect(image)
        marks.append(perf_counter())
        found = [refine(aligner.detector, image, face, aligner.refine) for face in found]
        marks.append(perf_counter())
        crops += [finder._stored(aligner.crop(image, face).image) for face in found]
        marks.append(perf_counter())
        for column, seconds in zip(steps.values(), np.diff(marks), strict=True):
            column.append(float(seconds))
    classified = []
    for size in (1, 64):
        model.batch_size = size
        started = perf_counter()
        model.classify(crops)
        classified.append((perf_counter() - started) / len(crops))
    per_photo = {name: float(np.mean(column)) for name, column in steps.items()}
    per_photo["network"] = classified[1] * len(crops) / len(steps["read"])
    total = sum(per_photo.values())
    print(f"{counted(len(steps['read']), 'photo')}, {counted(len(crops), 'face')}, refine={aligner.refine}")
    for name, seconds in per_photo.items():
        print(f"  {name:8} {1000 * seconds:7.1f} ms per photo  {seconds / total:5.1%}")
    print(f"network: {1000 * classified[0]:.1f} ms per face one by one, {1000 * classified[1]:.1f} ms in batches of 64")


if __name__ == "__main__":
    main()
