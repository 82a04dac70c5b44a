"""Ground truth of the synthetic faces: for one face with its image, or for many without."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.data.facs.canvas import Image


@dataclass(frozen=True)
class FacsSample:
    """A face with its complete ground truth.

    Args:
        image: (size, size, 3) uint8, RGB.
        label: index of the dominant emotion in ``EMOTIONS``; the largest entry of ``target``.
        target: (8,) float32, weight of each emotion in the face; sums to 1.
        votes: (8,) int64 annotators' votes, drawn from ``target``.
        intensities: action unit -> intensity in [0, 1], see :func:`~mfer_lightning.data.facs.action_units.as_mapping`.
        identity: number of the person; no person is in two partitions.
        attributes: ``skin`` (Fitzpatrick type 1 to 6), ``age`` (years), ``occluded`` (bool), ``occluder`` (str,
            ``"none"`` without one), ``ambiguous`` (bool: two emotions), ``yaw``, ``pitch``, ``roll`` (degrees),
            ``glasses``, ``beard`` and ``hair`` (str), ``valence`` and ``arousal`` (float within [-1, 1], from the
            action units by :mod:`mfer_lightning.data.facs.affect`).
    """

    image: Image
    label: int
    target: NDArray[np.float32]
    votes: NDArray[np.int64]
    intensities: Mapping[str, float]
    identity: int
    attributes: Mapping[str, int | float | bool | str]


@dataclass(frozen=True)
class FacsLabels:
    """Ground truth of the first n faces of a partition, without images.

    Args:
        label: (n,) int64.
        target: (n, 8) float32.
        votes: (n, 8) int64.
        identity: (n,) int64.
        skin: (n,) int64, 1 to 6.
        age: (n,) int64, years.
        occluded: (n,) bool.
        ambiguous: (n,) bool.
        valence: (n,) float32 within [-1, 1].
        arousal: (n,) float32 within [-1, 1].
    """

    label: NDArray[np.int64]
    target: NDArray[np.float32]
    votes: NDArray[np.int64]
    identity: NDArray[np.int64]
    skin: NDArray[np.int64]
    age: NDArray[np.int64]
    occluded: NDArray[np.bool_]
    ambiguous: NDArray[np.bool_]
    valence: NDArray[np.float32]
    arousal: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.label)
