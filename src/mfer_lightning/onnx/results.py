"""Results of an exported model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class FacePredictions:
    """One row a face.

    Args:
        class_names: the K emotions.
        probabilities: (N,K) float32, rows sum to 1.
        logits: (N,K) float32.
        feature: (N,D) float32, the input of the heads.

    Example:
        >>> p = np.array([[0.25, 0.75]], np.float32)
        >>> print(FacePredictions(("sadness", "happiness"), p, np.log(p), np.zeros((1, 4), np.float32)))
        0: happiness 75.0%, sadness 25.0%
    """

    class_names: tuple[str, ...]
    probabilities: NDArray[np.float32]
    logits: NDArray[np.float32]
    feature: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.probabilities)

    @property
    def pred(self) -> NDArray[np.int64]:
        """(N,) the most probable class of each face."""
        found: NDArray[np.int64] = self.logits.argmax(axis=1).astype(np.int64)
        return found

    @property
    def labels(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(self.class_names[k] for k in self.pred)

    def __str__(self) -> str:
        lines = []
        for row, p in enumerate(self.probabilities[:20]):
            best = np.argsort(-p, kind="stable")[:3]
            lines.append(f"{row}: " + ", ".join(f"{self.class_names[k]} {p[k]:.1%}" for k in best))
        more = len(self) - len(lines)
        return "\n".join([*lines, *([f"... and {more} more"] if more else [])])
