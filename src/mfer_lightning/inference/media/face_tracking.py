"""Follow people from frame to frame of a video, and smooth their probabilities over time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from mfer_lightning.inference.results import Face

Box = tuple[float, float, float, float]

#: Cost of a pair of boxes that cannot belong to the same person.
_NEVER = 1e6


@dataclass
class _Track:
    number: int
    box: Box
    time: float
    shares: dict[str, float] = field(default_factory=dict)


class Tracker:
    """Numbers the people of a video and smooths the probabilities of each.

    A face is assigned to the person whose last box it overlaps most; if no IoU exceeds 0.1, to the nearest person
    with a box of similar width, less than one box width away. All faces of a frame are assigned jointly, each to a
    different person, even if paths cross.

    Args:
        smooth: time constant of the exponential smoothing of a person's probabilities, in seconds; 0: no smoothing. The
            weight of a prediction falls to 1/e after ``smooth`` seconds, at any frame rate.
        patience: a person who is out of view for longer than this, in seconds, is forgotten.

    Raises:
        ValueError: if an argument is negative.

    Example:
        >>> tracker = Tracker(smooth=0)
        >>> def face(x): return Face(0, {"fear": 0.9, "anger": 0.1}, box=(x, 0, 10, 10))
        >>> [seen.track for seen in tracker.update([face(0), face(40)], 0.0)]
        [1, 2]
        >>> [seen.track for seen in tracker.update([face(41), face(1)], 0.1)]
        [2, 1]
    """

    def __init__(self, smooth: float = 0.5, patience: float = 1.0) -> None:
        for name, value in (("smooth", smooth), ("patience", patience)):
            if not value >= 0:
                raise ValueError(f"Expected argument `{name}` to be at least 0, but got {value}.")
        self.smooth = smooth
        self.patience = patience
        self._tracks: list[_Track] = []
        self._count = 0

    def update(self, faces: Sequence[Face], time: float) -> tuple[Face, ...]:
        """Process the faces of the next frame.

        Args:
            faces: faces of one frame; those without a box (aligned pictures) are taken to be the same person in all
                frames.
            time: time of the frame in seconds, not before that of the previous frame.

        Returns:
            The same faces with ``track`` and, if smoothing is on, ``smoothed``.
        """
        self._tracks = [t for t in self._tracks if time - t.time <= self.patience]
        boxes = [face.box or (0.0, 0.0, 1.0, 1.0) for face in faces]
        partner = self._match(boxes)
        seen = []
        for i, (face, box) in enumerate(zip(faces, boxes, strict=True)):
            track = partner.get(i)
            if track is None:
                self._count += 1
                track = _Track(self._count, box, time)
                self._tracks.append(track)
            smoothed = self._smooth(track, face, time)
            track.box, track.time, track.shares = box, time, smoothed
            seen.append(replace(face, track=track.number, smoothed=smoothed if self.smooth else None))
        return tuple(seen)

    def _match(self, boxes: Sequence[Box]) -> dict[int, _Track]:
        if not boxes or not self._tracks:
            return {}
        costs = np.array([[_cost(track.box, box) for track in self._tracks] for box in boxes])
        rows, columns = linear_sum_assignment(costs)
        pairs = zip(rows.tolist(), columns.tolist(), strict=True)
        return {i: self._tracks[j] for i, j in pairs if costs[i, j] < _NEVER}

    def _smooth(self, track: _Track, face: Face, time: float) -> dict[str, float]:
        now = dict(face.probabilities)
        if not track.shares or self.smooth == 0:
            return now
        kept = math.exp(-max(time - track.time, 0.0) / self.smooth)
        return {name: kept * track.shares.get(name, share) + (1 - kept) * share for name, share in now.items()}


def _cost(a: Box, b: Box) -> float:
    """Return a cost: below 1 if the IoU exceeds 0.1, else below 2 for similar widths and centres within one width."""
    overlap = iou(a, b)
    if overlap > 0.1:
        return 1 - overlap
    centres: NDArray[np.float64] = np.array([[x + w / 2, y + h / 2] for x, y, w, h in (a, b)])
    distance = float(np.hypot(*(centres[0] - centres[1]))) / max(a[2], b[2], 1e-9)
    alike = 0.5 < (a[2] + 1e-9) / (b[2] + 1e-9) < 2.0
    return 1 + distance if distance < 1 and alike else _NEVER


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes x, y, width, height.

    Example:
        >>> iou((0, 0, 2, 2), (1, 0, 2, 2))
        0.3333333333333333
    """
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    both = max(width, 0.0) * max(height, 0.0)
    union = a[2] * a[3] + b[2] * b[3] - both
    return both / union if union > 0 else 0.0
