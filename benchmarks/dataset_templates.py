"""Measure the landmark positions in the crops of a dataset: the source of the templates named after datasets.

    python benchmarks/dataset_templates.py ferplus /datasets/ferplus --faces 2000
    python benchmarks/dataset_templates.py facs --faces 500

Each face is resized to 192 x 192 pixels, padded with a wide border and detected, and its refined landmarks are mapped
back. The output is the median landmark positions in a crop of 112 x 112 pixels, and the median absolute deviations,
which no template can reduce.
"""

from __future__ import annotations

import argparse

import cv2
import numpy as np

from mfer_lightning.align import build_detector
from mfer_lightning.align.refine_landmarks import refine
from mfer_lightning.data import datasets

CLASSES = {
    "ferplus": "FERPlusDataModule",
    "rafdb": "RAFDBDataModule",
    "affectnet8": "AffectNetDataModule",
    "facs": "FacsDataModule",
    "folder": "FolderDataModule",
}
SIDE = 192
BORDER = 96


def main() -> None:
    """Measure one dataset."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", choices=CLASSES)
    parser.add_argument("root", nargs="?", default="facs")
    parser.add_argument("--faces", type=int, default=1000)
    options = parser.parse_args()
    cls = getattr(datasets, CLASSES[options.dataset])
    module = cls(root=options.root, augment="none", cache="none", size=64 if options.dataset == "facs" else None)
    module.setup("test")
    rows = module.splits.train.rows
    rows = rows[np.linspace(0, len(rows) - 1, min(options.faces, len(rows))).astype(int)]
    source = module.make_source(module.index)
    detector = build_detector("mtcnn", min_score=0.8)
    seen = []
    for row in rows.tolist():
        face = cv2.resize(source.read(row), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        photo = cv2.copyMakeBorder(face, *[BORDER] * 4, cv2.BORDER_REPLICATE)
        found = detector.detect(photo)
        if len(found) == 1:
            points = refine(detector, photo, found[0], 1).landmarks
            seen.append((points - BORDER + 0.5) * 112 / SIDE - 0.5)
    points = np.stack(seen)
    print(f"{len(points)} of {len(rows)} faces detected exactly once; medians on 112 x 112:")
    print(", ".join(f"({x:.1f}, {y:.1f})" for x, y in np.median(points, axis=0)))
    deviations = np.median(np.abs(points - np.median(points, axis=0)), axis=0)
    print("median absolute deviation in these pixels:", deviations.round(1).tolist())


if __name__ == "__main__":
    main()
