"""Compare the predictions of an exported model with those of its checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from mfer_lightning.inference.model import FERModel
from mfer_lightning.plurals import counted

if TYPE_CHECKING:
    from mfer_lightning.onnx import OnnxModel

#: Largest allowed difference in a probability in float32.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Faces:
    """Faces for a comparison.

    Args:
        name: description of the faces.
        batches: uint8 (B,3,H,W) each.
        label: (N,) the true classes in the model's order, -1 where unknown; or None.
    """

    name: str
    batches: Sequence[NDArray[np.uint8]]
    label: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Comparison:
    """Comparison of an exported file with its checkpoint.

    The entries of ``export.json`` have the same names.

    Args:
        faces: description of the faces.
        n: number of faces.
        largest_difference: largest difference in a probability.
        mean_difference: mean difference in the probabilities.
        same_emotion: number of faces for which the two models predict the same emotion.
        labelled: number of faces with a label.
        right: numbers of labelled faces classified correctly by the checkpoint and by the export; None without labels.
        lost: faces classified correctly by the checkpoint but not by the export; None without labels.
        won: faces classified correctly by the export but not by the checkpoint; None without labels.
        valence_arousal_difference: largest difference in valence or arousal; None if the model does not predict them.
    """

    faces: str
    n: int
    largest_difference: float
    mean_difference: float
    same_emotion: int
    labelled: int = 0
    right: tuple[int, int] | None = None
    lost: int | None = None
    won: int | None = None
    valence_arousal_difference: float | None = None

    @property
    def sentence(self) -> str:
        """The comparison in one line."""
        line = (
            f"{self.faces} ({counted(self.n, 'face')}): largest difference in a probability "
            f"{self.largest_difference:.1e}, mean {self.mean_difference:.1e}; same emotion for {self.same_emotion:,}"
        )
        if self.valence_arousal_difference is not None:
            line += f"; largest difference in valence or arousal {self.valence_arousal_difference:.1e}"
        if self.right is None or self.lost is None:
            return line
        before, after = (100 * r / self.labelled for r in self.right)
        changes = f"{counted(self.lost, 'face')} now incorrect, {self.won:,} now correct"
        return f"{line}; accuracy {before:.2f}% -> {after:.2f}% ({changes})"


def compare(model: FERModel, exported: OnnxModel | FERModel, faces: Faces) -> Comparison:
    """Run the checkpoint and the export on the same faces, without test-time augmentation."""
    before, after = [], []
    affect: list[float] = []
    for batch in faces.batches:
        (p, values), (q, written) = _answers(model, batch), _answers(exported, batch)
        before.append(p)
        after.append(q)
        if values is not None and written is not None:
            affect.append(float(np.abs(values - written).max()))
    p, q = np.concatenate(before), np.concatenate(after)
    first, second = p.argmax(axis=1), q.argmax(axis=1)
    difference = np.abs(p - q)
    found = Comparison(
        faces.name,
        len(p),
        float(difference.max()),
        float(difference.mean()),
        int((first == second).sum()),
        valence_arousal_difference=max(affect, default=None),
    )
    label = np.full(len(p), -1) if faces.label is None else faces.label
    known = label >= 0
    if not known.any():
        return found
    was, now = (first == label)[known], (second == label)[known]
    right, lost, won = (int(was.sum()), int(now.sum())), int((was & ~now).sum()), int((now & ~was).sum())
    return replace(found, labelled=int(known.sum()), right=right, lost=lost, won=won)


def _answers(
    model: OnnxModel | FERModel, batch: NDArray[np.uint8]
) -> tuple[NDArray[np.float64], NDArray[np.float32] | None]:
    """Return probabilities (B,K), and valence and arousal (B,2) if the model predicts them."""
    if isinstance(model, FERModel):
        output = model(torch.from_numpy(batch))
        affect = output.get("valence_arousal")
        return output["logits"].double().softmax(1).cpu().numpy(), None if affect is None else affect.cpu().numpy()
    answer = model.predict(batch, flip=False, shift=0.0)
    return answer.probabilities.astype(np.float64), answer.valence_arousal


def random_faces(size: int, resizes: bool, n: int = 16) -> Faces:
    """Create noise images; of several sizes, including non-square ones, if the model resizes."""
    generator = np.random.default_rng(0)
    shapes = [(size, size)]
    if resizes:
        shapes += [(max(8, size // 2), max(8, size // 2)), (size * 2, size * 2), (size + 5, max(8, size - 7))]
    batches = [generator.integers(0, 256, (n // len(shapes), 3, h, w), dtype=np.uint8) for h, w in shapes]
    return Faces("random pixels", batches)


def drawn_faces(size: int, resizes: bool, n: int = 16) -> list[Faces]:
    """Render synthetic faces, used if the dataset is missing; none if the renderer does not support this size."""
    from mfer_lightning.data.facs import FacsGenerator

    try:
        generator = FacsGenerator(size=64 if resizes else size)
    except ValueError:  # a size outside its range
        return []
    images = np.stack([generator.image("val", i) for i in range(n)])
    return [Faces("synthetic faces", [np.ascontiguousarray(images.transpose(0, 3, 1, 2))])]
