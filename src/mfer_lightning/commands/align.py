"""``mfer align``: align the faces in photos, and write the crops and a report. Does not import torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mfer_lightning.config.compose import run_verb
from mfer_lightning.plurals import counted

if TYPE_CHECKING:
    from mfer_lightning.align.report_file import Report


def main(arguments: Sequence[str]) -> int:
    """Run ``mfer align``.

    Args:
        arguments: the command-line arguments after ``align``.

    Returns:
        Exit code: 0, or 1 if the output folder contains no image. Centre crops (``no_face=centre``) count.
    """
    return run_verb("align", _align, arguments)


def _align(config: dict[str, Any]) -> int:
    from mfer_lightning.align.run import align

    return _print_summary(align(**config))


def _print_summary(report: Report) -> int:
    photos = {row["photo"]: row for row in report.rows()}
    counts = Counter(row["status"] for row in photos.values())
    several = sum(int(row["faces"]) > 1 for row in photos.values())
    words = ", ".join(f"{n:,} {status}" for status, n in counts.most_common())
    several_faces = counted(several, "photo contains several faces", "photos contain several faces")
    print(f"{counted(len(photos), 'photo')}: {words}. {several_faces}.")
    for row in [r for r in photos.values() if r["message"]][:5]:
        print(f"  {row['photo']}: {row['message']}")
    print(f"Faces:  {report.folder}\nReport: {report.path}")
    return 0 if any(row["output"] for row in photos.values()) else 1
