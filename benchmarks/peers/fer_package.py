"""Predict emotions with the pip package fer. Runs in its own environment (docs/peers.md).

    <environment>/bin/python benchmarks/peers/fer_package.py [--keras] crops|photos <list> <answers.csv>

The package does everything except reading files. `crops`: the picture is the face. Neither the detector nor the
package's margin of 10 px is used; the package converts the picture to greyscale, resizes it to 64x64 and scales it to
[-1, 1]. `photos`: the package's detector with its defaults; the face with the largest box is used. The scores are
read before the package rounds them to two decimals.
"""

from __future__ import annotations

import argparse
import csv
import importlib.metadata
import json
import os
from pathlib import Path
from time import process_time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import cv2
import tensorflow as tf
from fer.fer import FER

ORDER = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")  # FER._get_labels


class WholeScores(FER):
    """fer.FER with the unrounded scores of its network."""

    def _classify_emotions(self, gray_faces):
        self.scores = super()._classify_emotions(gray_faces)
        return self.scores


def main() -> None:
    """Write one row per picture: box, scores, CPU time. A row without scores is a miss."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keras", action="store_true", help="the Keras model instead of the quantised one (default)")
    parser.add_argument("task", choices=("crops", "photos"))
    parser.add_argument("list", type=Path)
    parser.add_argument("answers", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    margins = {"offsets": (0, 0)} if options.task == "crops" else {}
    model = WholeScores(use_tflite=not options.keras, **margins)
    with options.answers.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("picture", "x", "y", "width", "height", "cpu_ms", *ORDER))
        for picture in options.list.read_text(encoding="utf-8").splitlines():
            pixels = cv2.imread(picture)
            started = process_time()
            whole = [(0, 0, pixels.shape[1], pixels.shape[0])] if options.task == "crops" else None
            found = model.detect_emotions(pixels, whole)
            spent = round(1000 * (process_time() - started), 3)
            if not found:
                table.writerow((picture, "", "", "", "", spent, *[""] * len(ORDER)))
                continue
            areas = [face["box"][2] * face["box"][3] for face in found]
            largest = areas.index(max(areas))
            scores = [float(score) for score in model.scores[largest]]
            table.writerow((picture, *[int(side) for side in found[largest]["box"]], spent, *scores))
    data = Path(importlib.metadata.distribution("fer").locate_file("fer/data"))
    name = "emotion_model.hdf5" if options.keras else "emotion_model_quantized.tflite"
    facts = {
        "package": f"fer {importlib.metadata.version('fer')}",
        "licence": "MIT",
        "weights": {name: (data / name).stat().st_size},
        "detector": "Haar cascade of OpenCV",
    }
    options.answers.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
