"""Predict emotions with a model of this project, in the output format of the peers' adapters.

    python benchmarks/peers/ours.py <run, checkpoint or export> crops|photos <list> <answers.csv>

`crops`: the picture is the aligned face. `photos`: the model's own detector and alignment, with the defaults of
`mfer predict`; the face with the largest box is used. Pictures are processed one at a time, as by the other adapters.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from time import process_time

import cv2
import torch

from mfer_lightning import load_model
from mfer_lightning.inference.media.photos import read_photo


def main() -> None:
    """Write one row per picture: box, probabilities, CPU time. A row without probabilities is a miss."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("task", choices=("crops", "photos"))
    parser.add_argument("list", type=Path)
    parser.add_argument("answers", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    model = load_model(options.model, "cpu")
    with options.answers.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("picture", "x", "y", "width", "height", "cpu_ms", *model.class_names))
        for picture in options.list.read_text(encoding="utf-8").splitlines():
            pixels = read_photo(Path(picture)).image
            started = process_time()
            faces = model.predict(pixels, aligned=options.task == "crops", faces="largest")[0].faces
            spent = round(1000 * (process_time() - started), 3)
            if not faces:
                table.writerow((picture, "", "", "", "", spent, *[""] * len(model.class_names)))
                continue
            box = ["", "", "", ""] if faces[0].box is None else [round(side, 1) for side in faces[0].box]
            table.writerow((picture, *box, spent, *[faces[0].probabilities[name] for name in model.class_names]))
    network = getattr(getattr(model.classifier, "model", None), "network", None)
    weights = {} if network is None else {"float32": 4 * sum(p.numel() for p in network.state_dict().values())}
    facts = {
        "package": "mfer_lightning",
        "licence": "MIT",
        "weights": weights,
        "detector": (model.alignment.get("detector") or {}).get("name", ""),
    }
    options.answers.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
