"""Measure the repeatability of alignment: one portrait, rotated and scaled, with its landmarks mapped to one crop.

    python benchmarks/alignment_repeatability.py       # scikit-image's portrait (skimage.data.astronaut); a minute

For every rotation and scale the portrait is transformed, its face detected, and the five landmarks mapped back to the
original photo and then to the crop defined by the detection in the original. Deviations are in percent of the crop's
side: the largest distance of any landmark between two transforms, and the mean distance from the original.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from skimage.data import astronaut

from mfer_lightning.align import Aligner, build_detector, transform_points, warp
from mfer_lightning.align.geometry import invert

ANGLES = (-30, -20, -10, 0, 10, 20, 30)
SCALES = (0.5, 0.75, 1.0, 1.5, 2.0)


def turned(photo: np.ndarray, angle: float, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Rotate and scale a photo on a canvas that is large enough; return the image and the 2x3 matrix."""
    height, width = photo.shape[:2]
    a = np.deg2rad(angle)
    turn = scale * np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]]) @ turn.T
    low, high = corners.min(0), corners.max(0)
    matrix = np.column_stack([turn, -low])
    return warp(photo, matrix, int(high[0] - low[0]), int(high[1] - low[1])), matrix


def measure(steps: int, photo: np.ndarray) -> tuple[dict[str, float], float, np.ndarray]:
    """Measure the deviations between transforms for a number of refinement steps.

    Args:
        steps: refinement steps after detection.
        photo: RGB image (H,W,3) with one face.

    Returns:
        Deviations in percent of the crop's side (``largest``, ``mean``) and number of transforms without a face
        (``missed``); median seconds per photo; distance of each landmark from the template (5,), in percent.
    """
    aligner = Aligner(build_detector("mtcnn"), refine=steps)
    reference = aligner.align(photo)[0]
    placed, seconds, missed = [], [], 0
    for angle in ANGLES:
        for scale in SCALES:
            picture, matrix = turned(photo, angle, scale)
            start = time.perf_counter()
            found = aligner.align(picture)
            seconds.append(time.perf_counter() - start)
            if not found:
                missed += 1
                continue
            back = transform_points(invert(matrix), found[0].detection.landmarks)
            placed.append(transform_points(reference.matrix, back))
    points = np.stack(placed)  # (transforms, 5, 2)
    pairs = np.linalg.norm(points[:, None] - points[None], axis=-1) * 100 / aligner.height
    own = transform_points(reference.matrix, reference.detection.landmarks)
    off = np.linalg.norm(points - own, axis=-1) * 100 / aligner.height
    template = np.linalg.norm(own - aligner.points, axis=1) * 100 / aligner.height
    figures = {"largest": pairs.max(), "mean": off.mean(), "missed": missed}
    return figures, float(np.median(seconds)), template


def main() -> None:
    """Print one line per number of refinement steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, nargs="+", default=[0, 1, 2, 3])
    args = parser.parse_args()
    photo = astronaut()
    print(f"{len(ANGLES) * len(SCALES)} transforms: {ANGLES} degrees x {SCALES}; percent of the crop's side")
    for steps in args.steps:
        figures, seconds, template = measure(steps, photo)
        print(
            f"refine={steps}: largest deviation between any two: {figures['largest']:.2f}%, mean deviation from the "
            f"original: {figures['mean']:.2f}%, not found: {figures['missed']:.0f}, {seconds * 1e3:.0f} ms a photo; "
            f"distance from the template: {', '.join(f'{v:.1f}' for v in template)}%"
        )


if __name__ == "__main__":
    main()
