"""The script that counts memorised labels compares predictions with the flipped and with the true labels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from inference.conftest import NAMES, tiny_network, write_checkpoint
from PIL import Image
from studies.conftest import Script

from mfer_lightning.inference.model import read_model


def test_fractions_of_given_and_true_labels(script: Script, tmp_path: Path) -> None:
    run, faces = tmp_path / "run", np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)
    model = read_model(write_checkpoint(run / "checkpoints" / "best.ckpt", tiny_network()), "cpu")
    with torch.inference_mode():
        found = model(torch.from_numpy(faces).permute(0, 3, 1, 2).contiguous())["logits"].argmax(dim=1).tolist()
    flips = []
    for i, (face, k) in enumerate(zip(faces, found, strict=True)):
        Image.fromarray(face).save(tmp_path / f"{i}.png")
        predicted, other = NAMES[k], NAMES[(k + 1) % 3]
        # the prediction is the wrong label for the first face, the true one for three faces, and neither for the last
        given, true = (predicted, other) if i == 0 else (other, predicted) if i < 4 else (other, NAMES[(k + 2) % 3])
        flips.append({"path": f"{i}.png", "given": given, "true": true})
    (run / "label_noise.json").write_text(json.dumps({"flips": flips}))
    said = script("ferplus_noise/memorised.py", tmp_path, run)
    assert said.code == 0, said.err
    assert "run: 5 flipped labels, given label predicted 20.0%, true label 60.0%" in said.out


def test_usage_without_runs(script: Script, tmp_path: Path) -> None:
    said = script("ferplus_noise/memorised.py", tmp_path)
    assert said.code == 1
    assert "usage:" in said.err
