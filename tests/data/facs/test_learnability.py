"""The quick start's task has the right difficulty: linear models fail on it (networks do not: `make run`)."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import yaml
from sklearn.linear_model import LogisticRegression

from mfer_lightning.config.location import config_dir
from mfer_lightning.data.facs import FacsGenerator


def quick_start() -> dict:
    """The options of the default dataset in its configuration file."""
    return yaml.safe_load((config_dir() / "dataset" / "facs.yaml").read_text(encoding="utf-8"))["dataset"]


def faces(partition: str, n: int, pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """Flattened RGB faces (n, 3 * pixels^2) and labels (n,) of the quick start's own population."""
    options = quick_start()
    generator = FacsGenerator(size=options["size"], difficulty=options["difficulty"], seed=options["data_seed"])
    images = (generator.image(partition, i) for i in range(n))
    small = [cv2.resize(image, (pixels, pixels), interpolation=cv2.INTER_AREA).ravel() for image in images]
    return np.array(small, dtype=np.float32), generator.labels(partition, n).label


@pytest.mark.slow
def test_linear_models_on_pixels_stay_below_sixty_percent() -> None:
    options = quick_start()
    train, labels = faces("train", options["train_size"], 32)
    test, truth = faces("test", options["test_size"], 32)
    mean, std = train.mean(axis=0), train.std(axis=0) + 1e-6
    train, test = (train - mean) / std, (test - mean) / std
    accuracies = {}
    for strength in (1e-4, 1e-3, 1e-2):
        model = LogisticRegression(C=strength, max_iter=100).fit(train, labels)
        accuracies[strength] = model.score(test, truth)
    print(f"difficulty {options['difficulty']}: {accuracies}")
    assert 2 / 8 < max(accuracies.values()) < 0.60
