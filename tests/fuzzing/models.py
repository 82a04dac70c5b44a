"""Read a trained model in any format, and return the numbers that a user would see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mfer_lightning import load_model
from mfer_lightning.inference.media.detect_faces import Look
from mfer_lightning.inference.predictor import Predictor


@dataclass(frozen=True, eq=False)
class Said:
    """Predictions of a model for two faces.

    Args:
        names: class names of the model.
        p: (2,K) probabilities.
        model: the model.
    """

    names: tuple[str, ...]
    p: NDArray[np.float64]
    model: Predictor


def faces(side: int = 64) -> list[NDArray[np.uint8]]:
    """Return two faces of noise, (S,S,3) uint8."""
    return list(np.random.default_rng(0).integers(0, 256, (2, side, side, 3), dtype=np.uint8))


def ask(path: Path) -> Said:
    """Load a model as ``mfer predict`` does, for photos and for aligned faces, and classify two faces."""
    model = load_model(path, "cpu", batch_size=2)
    model.finder(Look())
    found = model.predict(faces(), aligned=True)
    shown = [face.probabilities for prediction in found for face in prediction.faces]
    assert len(shown) == 2, [prediction.message for prediction in found]
    return Said(model.class_names, np.array([list(p.values()) for p in shown]), model)


def same_as(whole: Said, has_digest: Callable[[], bool] = lambda: True) -> Callable[[Said], str]:
    """Make a check that an answer is the same as for the undamaged file, or plausible if the file has no checksum.

    Args:
        whole: the answer for the undamaged file.
        has_digest: whether the file that was just read has a checksum.
    """

    def check(said: Said) -> str:
        if said.p.shape != (2, len(said.names)):
            return f"{said.p.shape} probabilities of {len(said.names)} classes"
        if not np.isfinite(said.p).all() or abs(said.p.sum(axis=1) - 1).max() > 1e-3:
            return f"values that are not probabilities: {said.p.tolist()}"
        if has_digest() and (said.names != whole.names or not np.array_equal(said.p, whole.p)):
            return f"changed numbers without an error: {said.names} {said.p.tolist()}, not {whole.p.tolist()}"
        return ""

    return check
