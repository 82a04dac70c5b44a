"""Results as a table for notebooks: no image data, no script, and nothing of a file's name taken for markup."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mfer_lightning.inference.results import Face, Prediction

#: More rows than this are counted, not shown.
MOST_ROWS = 50


def table(predictions: Sequence[Prediction], notes: Sequence[str] = ()) -> str:
    """Lay predictions out as an HTML table: photo, face, emotion, the three likeliest with bars."""
    rows: list[str] = []
    total = 0
    for item in predictions:
        lines = [_face(item, face) for face in item.faces] or [_nothing(item)]
        total += len(lines)
        rows += lines[: max(0, MOST_ROWS - len(rows))]
    head = "".join(f"<th style='text-align:left'>{name}</th>" for name in ("photo", "face", "emotion", "likeliest"))
    more = f"<p>... {total - len(rows):,} rows more</p>" if total > len(rows) else ""
    said = "".join(f"<p><em>{escape(note)}</em></p>" for note in notes)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>{more}{said}"


def _name(item: Prediction) -> str:
    name = escape(item.path or "picture")
    return name if item.frame is None else f"{name}, frame {item.frame}"


def _face(item: Prediction, face: Face) -> str:
    bars = "".join(
        f"<div style='white-space:nowrap'><span style='display:inline-block;height:0.7em;background:#0072B2;"
        f"width:{80 * share:.0f}px'></span> {escape(name)} {share:.1%}</div>"
        for name, share in face.top(3)
    )
    who = str(face.number) if face.track is None else f"{face.number} (person {face.track})"
    return (
        f"<tr><td>{_name(item)}</td><td>{who}</td><td><b>{escape(face.label)}</b></td>"
        f"<td style='text-align:left'>{bars}</td></tr>"
    )


def _nothing(item: Prediction) -> str:
    words = item.status + (f": {item.message}" if item.message else "")
    return f"<tr><td>{_name(item)}</td><td></td><td colspan='2' style='text-align:left'>{escape(words)}</td></tr>"
