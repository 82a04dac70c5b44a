"""Results as flat rows: one a face, or one that says why a photo has none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mfer_lightning.align.templates import LANDMARKS

if TYPE_CHECKING:
    from mfer_lightning.inference.results import Prediction

BOX = ("x", "y", "box_width", "box_height")
POINTS = tuple(f"{name}_{axis}" for name in LANDMARKS for axis in "xy")


def columns(class_names: Sequence[str], *, video: bool = False) -> list[str]:
    """Name the columns of the table of a model with these classes; those of frames and people in a video alone."""
    start = ["path", *(["frame", "time"] if video else []), "face", "status", "label", "probability"]
    emotions = [f"p_{name}" for name in class_names]
    people = ["track", *(f"smoothed_{name}" for name in class_names)] if video else []
    return [*start, *emotions, *people, *BOX, *POINTS, "confidence", "residual", "width", "height", "message"]


def rows(item: Prediction) -> list[dict[str, Any]]:
    """Lay one photo out in rows; cells that do not apply are left out."""
    photo: dict[str, Any] = {"path": item.path}
    if item.frame is not None:
        photo |= {"frame": item.frame, "time": item.time}
    photo |= {"status": item.status, "width": item.width, "height": item.height, "message": item.message}
    if not item.faces:
        return [photo]
    table = []
    for face in item.faces:
        row = {**photo, "face": face.number, "label": face.label, "probability": face.probability}
        row |= {f"p_{name}": share for name, share in face.probabilities.items()}
        if face.box is not None:
            row |= dict(zip(BOX, face.box, strict=True))
        if face.landmarks is not None:
            row |= dict(zip(POINTS, (value for point in face.landmarks for value in point), strict=True))
        row |= {"confidence": face.confidence, "residual": face.residual}
        if face.track is not None:
            row["track"] = face.track
        if face.smoothed is not None:
            row |= {f"smoothed_{name}": share for name, share in face.smoothed.items()}
        table.append(row)
    return table
