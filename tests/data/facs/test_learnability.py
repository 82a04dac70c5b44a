"""The task has the right difficulty: linear models fail on it. (That networks succeed is shown by the quick start.)"""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from mfer_lightning.data.facs import FacsGenerator


@pytest.mark.slow
@pytest.mark.parametrize("size", [48, 64])
def test_a_linear_model_on_pixels_stays_below_sixty_percent(size):
    faces = FacsGenerator(size=size)
    pixels, labels = {}, {}
    for partition, n in (("train", 4000), ("test", 1000)):
        grey = (cv2.cvtColor(faces.image(partition, i), cv2.COLOR_RGB2GRAY) for i in range(n))
        small = [cv2.resize(image, (32, 32), interpolation=cv2.INTER_AREA).ravel() for image in grey]
        pixels[partition], labels[partition] = np.array(small, dtype=np.float32), faces.labels(partition, n).label
    mean, std = pixels["train"].mean(axis=0), pixels["train"].std(axis=0)
    model = LogisticRegression(C=1e-3, max_iter=200)
    model.fit((pixels["train"] - mean) / std, labels["train"])
    accuracy = model.score((pixels["test"] - mean) / std, labels["test"])
    assert 1.5 / 8 < accuracy < 0.60
