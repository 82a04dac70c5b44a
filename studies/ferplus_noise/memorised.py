"""Count the flipped training labels that networks have memorised (docs/experiments/ferplus_noise.md, part one).

    python studies/ferplus_noise/memorised.py <data>/ferplus runs/ferplus_noise_part1/<run>...

A network has memorised a wrong label if it predicts it for the training face that had it. Input: the faces, and runs
with ``dataset.label_noise`` above 0, whose ``label_noise.json`` lists the flipped labels.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

from mfer_lightning.inference.model import read_model
from mfer_lightning.onnx.read_faces import read_face

BATCH = 256


def main() -> None:
    """Print one line per run: the percentages of flipped faces predicted as the given label and as the true label."""
    if len(sys.argv) < 3:
        raise SystemExit("usage: python studies/ferplus_noise/memorised.py <folder of the faces> <run>...")
    root, *runs = map(Path, sys.argv[1:])
    for run in runs:
        flips = json.loads((run / "label_noise.json").read_text(encoding="utf-8"))["flips"]
        model = read_model(run / "checkpoints" / "best.ckpt", "cpu")
        predicted: list[str] = []
        for start in range(0, len(flips), BATCH):
            faces = np.stack([read_face(root / flip["path"]) for flip in flips[start : start + BATCH]])
            with torch.inference_mode():
                logits = model(torch.from_numpy(faces).permute(0, 3, 1, 2).contiguous())["logits"]
            predicted += [model.class_names[k] for k in logits.argmax(dim=1).tolist()]
        given, true = (
            100 * np.mean([name == flip[kind] for name, flip in zip(predicted, flips, strict=True)])
            for kind in ("given", "true")
        )
        print(f"{run.name}: {len(flips)} flipped labels, given label predicted {given:.1f}%, true label {true:.1f}%")


if __name__ == "__main__":
    main()
