"""One face of a photo or frame, with a model's prediction. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.inference.result_columns import AFFECT, UNCERTAIN
from mfer_lightning.inference.results_html import HtmlRow, html_table

Row = dict[str, Any]


@dataclass(frozen=True)
class Face:
    """One face and its predicted emotions.

    Args:
        number: number of the face in its photo, from the left, starting at 0.
        probabilities: emotion -> probability, in the model's order; they add up to 1.
        box: x, y, width, height in pixels of the upright photo; None for an already aligned face.
        landmarks: (5,2) left eye, right eye, nose, left and right corner of the mouth, as seen in the image; or None.
        confidence: confidence of the detector, 0 to 1; None for an already aligned face.
        residual: root mean square distance of the landmarks from the template's points, as a fraction of the crop's
            height. It is large for faces seen from the side.
        quality: one of :data:`mfer_lightning.inference.media.face_quality.QUALITIES`; None if it was not judged.
        track: number of the person in a video, from 1; None in photos.
        smoothed: in a video, probabilities averaged over time; None without smoothing.
        valence: how pleasant the expression is, -1 to 1; None if the model does not predict it.
        arousal: how excited the expression is, -1 to 1; None if the model does not predict it.
        threshold: a prediction with a lower probability is uncertain; None: predictions are never uncertain.
        aligned: (H,W,3) uint8 RGB, the model's input; None unless requested.
    """

    number: int
    probabilities: Mapping[str, float]
    box: tuple[float, float, float, float] | None = None
    landmarks: tuple[tuple[float, float], ...] | None = None
    confidence: float | None = None
    residual: float | None = None
    quality: str | None = None
    track: int | None = None
    smoothed: Mapping[str, float] | None = None
    valence: float | None = None
    arousal: float | None = None
    threshold: float | None = None
    aligned: NDArray[np.uint8] | None = field(default=None, repr=False, compare=False)

    @property
    def label(self) -> str:
        """The most probable emotion, by the smoothed probabilities if there are any."""
        shown = self.shown
        return max(shown, key=shown.__getitem__)

    @property
    def probability(self) -> float:
        """The probability of :attr:`label`."""
        return self.shown[self.label]

    @property
    def uncertain(self) -> bool:
        """Whether the probability of :attr:`label` is below the threshold."""
        return self.threshold is not None and self.probability < self.threshold

    @property
    def answer(self) -> str:
        """The most probable emotion, or ``"uncertain"``.

        Example:
            >>> shares = {"fear": 0.4, "surprise": 0.35, "neutral": 0.25}
            >>> Face(0, shares).answer, Face(0, shares, threshold=0.5).answer
            ('fear', 'uncertain')
        """
        return UNCERTAIN if self.uncertain else self.label

    @property
    def shown(self) -> Mapping[str, float]:
        """The smoothed probabilities if there are any, else the probabilities."""
        return self.probabilities if self.smoothed is None else self.smoothed

    def top(self, k: int | None = 3) -> list[tuple[str, float]]:
        """Return the ``k`` most probable emotions (None: all) with their probabilities, the most probable first.

        Example:
            >>> Face(0, {"fear": 0.2, "anger": 0.7, "neutral": 0.1}).top(2)
            [('anger', 0.7), ('fear', 0.2)]
        """
        return sorted(self.shown.items(), key=lambda item: -item[1])[:k]

    def to_dict(self) -> Row:
        """Return plain values for JSON, without the aligned face's pixels."""
        values: Row = {
            "face": self.number,
            "label": self.label,
            "probability": self.probability,
            "probabilities": dict(self.probabilities),
            "box": None if self.box is None else list(self.box),
            "landmarks": None if self.landmarks is None else [list(point) for point in self.landmarks],
            "confidence": self.confidence,
            "residual": self.residual,
            "quality": self.quality,
        }
        if self.track is not None:
            values["track"] = self.track
        if self.smoothed is not None:
            values["smoothed"] = dict(self.smoothed)
        if self.threshold is not None:
            values |= {"uncertain": self.uncertain, "threshold": self.threshold}
        return values | self.affect

    @property
    def affect(self) -> dict[str, float]:
        """Valence and arousal by name, if the model predicts them."""
        both = zip(AFFECT, (self.valence, self.arousal), strict=True)
        return {name: value for name, value in both if value is not None}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Face:
        """Build a face from the output of :meth:`to_dict`."""
        box, points = values.get("box"), values.get("landmarks")
        return cls(
            number=int(values["face"]),
            probabilities=dict(values["probabilities"]),
            box=None if box is None else (box[0], box[1], box[2], box[3]),
            landmarks=None if points is None else tuple((x, y) for x, y in points),
            confidence=values.get("confidence"),
            residual=values.get("residual"),
            quality=values.get("quality"),
            track=values.get("track"),
            smoothed=values.get("smoothed"),
            valence=values.get("valence"),
            arousal=values.get("arousal"),
            threshold=values.get("threshold"),
        )

    def __str__(self) -> str:
        words = f"{UNCERTAIN}, " if self.uncertain else ""
        words += ", ".join(f"{name} {share:.0%}" for name, share in self.top(3))
        words += "".join(f", {name} {value:+.2f}" for name, value in self.affect.items())
        person = "" if self.track is None else f" of person {self.track}"
        x, y, width, height = self.box or (0, 0, 0, 0)
        place = "" if self.box is None else f" at x {x:.0f}, y {y:.0f}, {width:.0f}x{height:.0f} px"
        return f"face {self.number}{person}{place}{self.doubt}: {words}"

    @property
    def doubt(self) -> str:
        """The mark of a face that is too small or too blurred, in brackets after a space; empty for other faces."""
        return "" if self.quality in (None, "good") else f" ({self.quality})"

    def html_row(self, title: str) -> HtmlRow:
        """Return the row of an HTML table."""
        person = "" if self.track is None else f" (person {self.track})"
        return title, f"{self.number}{person}", f"{self.answer}{self.doubt}", self.top(3)

    def _repr_html_(self) -> str:
        return html_table([self.html_row("picture")])
