"""Render predictions as an HTML table for notebooks, without images or scripts, and with escaped text."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from mfer_lightning.plurals import counted

#: Maximum number of rows to show; further rows are only counted.
MOST_ROWS = 50

#: Photo, face, emotion (or the reason why there is none), and the most probable emotions with their probabilities.
HtmlRow = tuple[str, str, str, list[tuple[str, float]]]


def html_table(rows: Sequence[HtmlRow], notes: Sequence[str] = ()) -> str:
    """Format rows as an HTML table with bars, and notes below it."""
    head = "".join(f"<th style='text-align:left'>{name}</th>" for name in ("photo", "face", "emotion", "most probable"))
    body = "".join(map(_row, rows[:MOST_ROWS]))
    more = f"<p>... {counted(len(rows) - MOST_ROWS, 'more row')}</p>" if len(rows) > MOST_ROWS else ""
    remarks = "".join(f"<p><em>{escape(note)}</em></p>" for note in notes)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}{remarks}"


def _row(row: HtmlRow) -> str:
    photo, face, text, shares = row
    start = f"<tr><td>{escape(photo)}</td><td>{escape(face)}</td>"
    if not shares:
        return f"{start}<td colspan='2' style='text-align:left'>{escape(text)}</td></tr>"
    bars = "".join(
        f"<div style='white-space:nowrap'><span style='display:inline-block;height:0.7em;background:#0072B2;"
        f"width:{80 * share:.0f}px'></span> {escape(name)} {share:.1%}</div>"
        for name, share in shares
    )
    return f"{start}<td><b>{escape(text)}</b></td><td style='text-align:left'>{bars}</td></tr>"
