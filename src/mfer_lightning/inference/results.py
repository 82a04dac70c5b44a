"""Typed prediction results, which print well and convert to JSON, table rows and HTML. Does not import torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.errors import printable
from mfer_lightning.inference.face import Face as Face
from mfer_lightning.inference.face import Row
from mfer_lightning.inference.result_columns import BOX, POINTS, UNCERTAIN
from mfer_lightning.inference.results_html import HtmlRow, html_table
from mfer_lightning.plurals import counted

#: ``status`` of a photo or frame: with faces, without, or the reason why it could not be read.
OK, NO_FACE, UNREADABLE, NOT_AN_IMAGE, TOO_LARGE = "ok", "no face", "unreadable", "not an image", "too large"
STATUSES = (OK, NO_FACE, UNREADABLE, NOT_AN_IMAGE, TOO_LARGE)

#: Fields that a prediction copies from its photo or frame.
OF_PICTURE = ("path", "status", "message", "width", "height", "frame", "time", "rotated")


@dataclass(frozen=True)
class Prediction:
    """One photo or frame: its faces, or why there are none.

    Args:
        path: the file, or None for a picture given as an array.
        faces: from left to right; empty unless ``status`` is ``"ok"``.
        status: one of :data:`STATUSES`.
        message: explanation of the status; empty if ``status`` is ``"ok"``.
        width: width of the upright photo in pixels; if it could not be read, the width in its header, or 0.
        height: height of the upright photo in pixels; if it could not be read, the height in its header, or 0.
        frame: number of the frame in a video, from 0; None for photos.
        time: time of the frame, in seconds from the video's start.
        rotated: degrees clockwise by which the photo was rotated to find faces; None: not rotated. Boxes and
            landmarks refer to the photo before this rotation.
    """

    path: str | None = None
    faces: tuple[Face, ...] = ()
    status: str = OK
    message: str = ""
    width: int = 0
    height: int = 0
    frame: int | None = None
    time: float | None = None
    rotated: int | None = None

    def __len__(self) -> int:
        return len(self.faces)

    def __iter__(self) -> Iterator[Face]:
        return iter(self.faces)

    def __bool__(self) -> bool:
        return bool(self.faces)

    def to_dict(self) -> Row:
        """Return plain values for JSON."""
        values: Row = {"path": self.path}
        if self.frame is not None:
            values |= {"frame": self.frame, "time": self.time}
        values |= {"status": self.status, "message": self.message, "width": self.width, "height": self.height}
        if self.rotated is not None:
            values["rotated"] = self.rotated
        return {**values, "faces": [face.to_dict() for face in self.faces]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Prediction:
        """Build a prediction from the output of :meth:`to_dict`; further entries are ignored."""
        faces = tuple(Face.from_dict(face) for face in values["faces"])
        return cls(faces=faces, **{name: values[name] for name in OF_PICTURE if name in values})

    def to_json(self) -> str:
        """Return one line of JSON, without rounding."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False)

    def rows(self) -> list[Row]:
        """Return one flat row per face, or one row with the reason if there is no face.

        The rows are for ``csv.DictWriter`` and ``pandas.DataFrame``. Cells that do not apply are left out or None.
        """
        photo: Row = {"path": self.path}
        if self.frame is not None:
            photo |= {"frame": self.frame, "time": self.time}
        photo |= {"status": self.status, "width": self.width, "height": self.height, "message": self.message}
        if self.rotated is not None:
            photo["rotated"] = self.rotated
        table = []
        for face in self.faces:
            row = {**photo, "face": face.number, "label": face.label, "probability": face.probability}
            if face.threshold is not None:
                row[UNCERTAIN] = face.uncertain
            row |= {f"p_{name}": share for name, share in face.probabilities.items()} | face.affect
            if face.box is not None:
                row |= zip(BOX, face.box, strict=True)
            if face.landmarks is not None:
                row |= zip(POINTS, (value for point in face.landmarks for value in point), strict=True)
            row |= {"confidence": face.confidence, "residual": face.residual, "quality": face.quality}
            if face.track is not None:
                row["track"] = face.track
            row |= {f"smoothed_{name}": share for name, share in (face.smoothed or {}).items()}
            table.append(row)
        return table or [photo]

    @property
    def title(self) -> str:
        """Display name of the photo or frame."""
        name = self.path or "picture"
        return name if self.frame is None else f"{name}, frame {self.frame}"

    def __str__(self) -> str:
        name = printable(self.title)
        if self.status != OK:
            return f"{name}: {self.status}" + (f" ({self.message})" if self.message else "")
        return "\n".join([f"{name} ({self.width}x{self.height})", *(f"  {face}" for face in self.faces)])

    def _repr_html_(self) -> str:
        return Predictions([self])._repr_html_()


class Predictions(Sequence[Prediction]):
    """Predictions for several photos, in the given order.

    Args:
        items: one per photo or frame.
        notes: remarks that apply to all of them, e.g. that the alignment is an approximation.
    """

    def __init__(self, items: Sequence[Prediction], notes: Sequence[str] = ()) -> None:
        self._items = tuple(items)
        self.notes = tuple(notes)

    @property
    def faces(self) -> tuple[Face, ...]:
        """All faces of all photos."""
        return tuple(face for item in self._items for face in item.faces)

    @overload
    def __getitem__(self, index: int) -> Prediction: ...
    @overload
    def __getitem__(self, index: slice) -> Predictions: ...
    def __getitem__(self, index: int | slice) -> Prediction | Predictions:
        if isinstance(index, slice):
            return Predictions(self._items[index], self.notes)
        return self._items[index]

    def __len__(self) -> int:
        return len(self._items)

    def to_dicts(self) -> list[Row]:
        """Return plain values of each photo for JSON."""
        return [item.to_dict() for item in self._items]

    def to_json_lines(self) -> str:
        """Return one line of JSON per photo."""
        return "".join(item.to_json() + "\n" for item in self._items)

    def rows(self) -> list[Row]:
        """Return the flat rows of all photos: ``pandas.DataFrame(predictions.rows())`` is the table."""
        return [row for item in self._items for row in item.rows()]

    def __repr__(self) -> str:
        return f"Predictions({counted(len(self), 'photo')}, {counted(len(self.faces), 'face')})"

    def __str__(self) -> str:
        return "\n".join([*(str(item) for item in self._items), *(f"note: {note}" for note in self.notes)])

    def _repr_html_(self) -> str:
        rows: list[HtmlRow] = []
        for item in self._items:
            for face in item.faces:
                rows.append(face.html_row(item.title))
            if not item.faces:
                rows.append((item.title, "", item.status + (f": {item.message}" if item.message else ""), []))
        return html_table(rows, self.notes)


@dataclass(frozen=True)
class Embeddings:
    """Feature vectors of faces.

    Args:
        vectors: (N,D) float32, one row per face.
        predictions: predictions for the same photos; row ``i`` of ``vectors`` belongs to ``predictions.faces[i]``.
    """

    vectors: NDArray[np.float32] = field(repr=False)
    predictions: Predictions

    @property
    def faces(self) -> tuple[Face, ...]:
        """The N faces."""
        return self.predictions.faces

    def __len__(self) -> int:
        return len(self.vectors)
