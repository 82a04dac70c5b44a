"""Whether an exported file says what the checkpoint says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mfer_lightning.inference.model import FERModel
from mfer_lightning.onnx import OnnxModel

#: Most that a probability may differ in float32.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Faces:
    """Faces to compare on.

    Args:
        name: what they are, in words.
        batches: uint8 (B,3,H,W) each.
        label: (N,) the true classes in the model's order, -1 where unknown; or None.
    """

    name: str
    batches: Sequence[NDArray[np.uint8]]
    label: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return sum(len(batch) for batch in self.batches)


@dataclass(frozen=True)
class Comparison:
    """A file against the checkpoint on some faces.

    Args:
        name: what the faces are.
        n: how many.
        largest: largest difference of a probability.
        mean: mean difference of probabilities.
        agree: on how many faces both name the same emotion.
        right: how many faces with a label each gets right: checkpoint and export; None without labels.
        lost: right before, wrong after; None without labels.
        won: wrong before, right after; None without labels.
        labelled: faces with a label.
    """

    name: str
    n: int
    largest: float
    mean: float
    agree: int
    right: tuple[int, int] | None = None
    lost: int | None = None
    won: int | None = None
    labelled: int = 0

    @property
    def sentence(self) -> str:
        """All of it in one line."""
        line = (
            f"{self.name} ({self.n:,} faces): largest difference of a probability {self.largest:.1e}, mean "
            f"{self.mean:.1e}; same emotion on {self.agree:,}"
        )
        if self.right is None:
            return line
        before, after = (100 * r / self.labelled for r in self.right)
        return f"{line}; accuracy {before:.2f}% -> {after:.2f}% ({self.lost} faces lost, {self.won} won)"

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            "faces": self.name,
            "n": self.n,
            "largest_difference": self.largest,
            "mean_difference": self.mean,
            "same_emotion": self.agree,
            "labelled": self.labelled,
            "right": None if self.right is None else list(self.right),
            "lost": self.lost,
            "won": self.won,
        }


def compare(model: FERModel, exported: OnnxModel, faces: Faces) -> Comparison:
    """Run checkpoint and export on the same faces, one view each."""
    before, after = [], []
    for batch in faces.batches:
        before.append(model(torch.from_numpy(batch))["logits"].double().softmax(1).cpu().numpy())
        after.append(exported.predict(batch, flip=False, shift=0.0).probabilities.astype(np.float64))
    p, q = np.concatenate(before), np.concatenate(after)
    first, second = p.argmax(axis=1), q.argmax(axis=1)
    difference = np.abs(p - q)
    known = None if faces.label is None else faces.label >= 0
    common: dict[str, Any] = {}
    if faces.label is not None and known is not None and known.any():
        was, now = first[known] == faces.label[known], second[known] == faces.label[known]
        common = {
            "right": (int(was.sum()), int(now.sum())),
            "lost": int((was & ~now).sum()),
            "won": int((now & ~was).sum()),
            "labelled": int(known.sum()),
        }
    return Comparison(
        faces.name, len(p), float(difference.max()), float(difference.mean()), int((first == second).sum()), **common
    )


def random_faces(size: int, resizes: bool, n: int = 16) -> Faces:
    """Noise of several sizes, of which no network was made: smaller, larger and not square where the model resizes."""
    generator = np.random.default_rng(0)
    shapes = [(size, size)]
    if resizes:
        shapes += [(max(8, size // 2), max(8, size // 2)), (size * 2, size * 2), (size + 5, max(8, size - 7))]
    batches = [generator.integers(0, 256, (n // len(shapes), 3, h, w), dtype=np.uint8) for h, w in shapes]
    return Faces("random pixels", batches)


def drawn_faces(size: int, resizes: bool, n: int = 16) -> list[Faces]:
    """Synthetic faces of the embedded renderer, for where the data are not at hand; none where it cannot draw them."""
    from mfer_lightning.data.facs import FacsGenerator

    try:
        generator = FacsGenerator(size=64 if resizes else size)
    except ValueError:  # larger or smaller than what it draws
        return []
    images = np.stack([generator.image("val", i) for i in range(n)])
    return [Faces("drawn faces", [np.ascontiguousarray(images.transpose(0, 3, 1, 2))])]
