"""``mfer align``: align the faces in photos and write them to a folder. An interrupted run can be continued."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mfer_lightning.align.align_photos import align_photos, build_aligner
from mfer_lightning.align.geometry import BORDERS
from mfer_lightning.align.photo_list import list_photos
from mfer_lightning.align.report_file import CENTRE, DONE, Report
from mfer_lightning.errors import UserError, check_choice, check_least
from mfer_lightning.plurals import counted
from mfer_lightning.progress import progress_bar

#: Legal values of ``faces`` (which faces to use if a photo has several), ``no_face`` and ``format``.
SEVERAL_FACES = ("largest", "surest", "central", "all", "skip")
NO_FACES = ("skip", "centre")
FORMATS = ("jpg", "png")


def align(
    source: str | Path,
    output: str | Path,
    *,
    template: str = "face-evolve-112",
    size: int | None = None,
    margin: float = 0.0,
    faces: str = "largest",
    no_face: str = "skip",
    second_look: bool = False,
    refine: int = 2,
    border: str = "black",
    detector: Mapping[str, Any] | None = None,
    format: str = "jpg",
    quality: int = 95,
    workers: int = 0,
    retry: bool = False,
) -> Report:
    """Align the faces in photos, skipping photos that an earlier run has processed.

    Args:
        source: a photo, a folder (searched recursively), or a pattern such as ``photos/*.jpg``.
        output: folder for the aligned faces, ``alignment.json`` and ``report.csv``.
        template: a name in :data:`mfer_lightning.align.templates.TEMPLATES`.
        size: height of the crops in pixels, at least 8; None: that of the template.
        margin: extra border on each side, as a fraction of the template's size, 0 to 2.
        faces: which of several faces to use, one of :data:`SEVERAL_FACES`.
        no_face: what to do with a photo without a face, one of :data:`NO_FACES`.
        second_look: if no face is found, search again with a border and a lower threshold
            (:mod:`mfer_lightning.align.second_look`).
        refine: number of landmark refinements per face (:mod:`mfer_lightning.align.refine_landmarks`).
        border: how to fill pixels outside the photo: black, edge, mirror.
        detector: ``name`` and options of the detector; None: MTCNN.
        format: ``"jpg"`` or ``"png"``.
        quality: quality of JPEG files, 1 to 100.
        workers: number of worker processes; 0 or 1: run in the main process.
        retry: retry the photos of earlier runs that were not aligned: no face, several faces, or unreadable.

    Returns:
        The report, including the rows of earlier runs.

    Raises:
        UserError: for illegal options, a source without photos, a folder started with other settings, or a full disk.
    """
    chosen: dict[str, Any] = {"faces": faces, "no_face": no_face, "format": format, "quality": quality}
    chosen["detector"] = dict({"name": "mtcnn"} if detector is None else detector)
    check_choice("faces", faces, SEVERAL_FACES)
    check_choice("no_face", no_face, NO_FACES)
    check_choice("format", format, FORMATS)
    check_choice("border", border, BORDERS)
    if not 1 <= quality <= 100:
        raise UserError(f"quality={quality}: the value must be from 1 to 100.")
    check_least("workers", workers, 0)
    if not isinstance(chosen["detector"].get("name"), str):
        raise UserError("detector has no name. Set it, e.g. detector.name=mtcnn.")
    settings = {**chosen, "template": template, "size": size, "margin": margin, "refine": refine, "border": border}
    settings["second_look"] = second_look
    photos = list_photos(source, output)
    aligner = build_aligner(settings)  # before anything is written, so that an illegal setting leaves no folder behind
    folder = Path(output).expanduser()
    # stored only if true, so that folders of earlier versions, which lack it, can be continued
    looked = {"second_look": True} if second_look else {}
    report = Report(folder, {**aligner.to_config(), **chosen, **looked})
    if retry:
        report.forget({name for name, status in report.done().items() if status not in (DONE, CENTRE)})
    before = report.done()
    left = [photo for photo in photos if photo.name not in before]
    if before:
        print(f"Already done: {len(photos) - len(left):,} of {counted(len(photos), 'photo')}.")
    with progress_bar() as bar:
        task = bar.add_task("align", total=len(left))
        for rows in align_photos(left, settings, folder, workers):
            report.append(rows)
            bar.advance(task)
    return report
