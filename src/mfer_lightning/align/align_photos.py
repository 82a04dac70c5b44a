"""Align the faces in photos and write the crops, in one process or several."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mfer_lightning.align.aligner import AlignedFace, Aligner
from mfer_lightning.align.detectors import build_detector
from mfer_lightning.align.photo_list import Photo
from mfer_lightning.align.report_file import CENTRE, DONE, NO_FACE, POINTS, SEVERAL, UNREADABLE
from mfer_lightning.align.second_look import look_again
from mfer_lightning.align.worker_pool import map_in_processes
from mfer_lightning.data.images.decode import decode
from mfer_lightning.errors import UserError
from mfer_lightning.files import atomic_path

Row = dict[str, Any]


def build_aligner(settings: Mapping[str, Any]) -> Aligner:
    """Build an aligner from settings.

    Args:
        settings: ``detector`` (a mapping with its ``name`` and options), ``faces``, and optionally ``template``,
            ``size``, ``margin``, ``refine`` and ``border`` as in :class:`Aligner`.

    Raises:
        UserError: for unknown names and values out of range.
    """
    detector = dict(settings["detector"])
    name = detector.pop("name")
    options = {k: v for k, v in settings.items() if k in ("template", "size", "margin", "refine", "border")}
    faces = "all" if settings["faces"] == "skip" else settings["faces"]
    try:
        return Aligner(build_detector(name, **detector), faces=faces, detector_name=name, **options)
    except ValueError as error:
        raise UserError(f"align: {error}") from error


def align_photos(
    photos: Sequence[Photo], settings: Mapping[str, Any], output: Path, workers: int
) -> Iterator[list[Row]]:
    """Align photos and write the crops.

    Args:
        photos: photos to align.
        settings: settings for :func:`build_aligner`, plus ``no_face``, ``second_look``, ``format`` and ``quality``.
            ``faces`` may also be ``"skip"``.
        output: folder for the faces.
        workers: number of worker processes; 0 or 1: run in the main process.

    Yields:
        The report rows of one photo at a time, in the order of the photos.

    Raises:
        UserError: if the disk is full, a worker died, or settings are illegal.
    """
    yield from map_in_processes(partial(_build, dict(settings), output), photos, workers)


def _build(settings: Mapping[str, Any], output: Path) -> Callable[[Photo], list[Row]]:
    return partial(align_photo, aligner=build_aligner(settings), settings=settings, output=output)


def align_photo(photo: Photo, aligner: Aligner, settings: Mapping[str, Any], output: Path) -> list[Row]:
    """Align one photo and write its crops.

    Args:
        photo: the photo; if it cannot be read, its row says why.
        aligner: the aligner.
        settings: as in :func:`align_photos`.
        output: folder for the faces.

    Returns:
        The rows of the report: one per face, or a single one with the reason if no face was aligned.

    Raises:
        UserError: if a crop cannot be written.
    """
    try:
        image = decode(photo.source)
    except UserError as error:
        return [{"photo": photo.name, "status": UNREADABLE, "faces": 0, "message": str(error)}]
    found = aligner.detector.detect(image)
    if not found and settings["second_look"]:
        found = look_again(aligner.detector, image)
    if not found and settings["no_face"] == "centre":
        crop = centre_crop(image, aligner.width, aligner.height)
        return [{"photo": photo.name, "status": CENTRE, "faces": 0, **_write(output, photo.target, crop, settings)}]
    if not found:
        return [{"photo": photo.name, "status": NO_FACE, "faces": 0}]
    if len(found) > 1 and settings["faces"] == "skip":
        return [{"photo": photo.name, "status": SEVERAL, "faces": len(found), "message": "skipped (faces=skip)"}]
    rows = []
    for number, face in enumerate(aligner.align_detections(image, found)):
        target = photo.target if number == 0 else f"{photo.target.removesuffix('_aligned')}_{number + 1}_aligned"
        row = {"photo": photo.name, "status": DONE, "faces": len(found), **_figures(face)}
        rows.append(row | _write(output, target, face.image, settings))
    return rows


def centre_crop(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Crop the largest centred region with the crop's aspect ratio, and resize it."""
    rows, columns = image.shape[:2]
    scale = min(columns / width, rows / height)
    w, h = max(1, round(width * scale)), max(1, round(height * scale))
    y, x = (rows - h) // 2, (columns - w) // 2
    how = cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image[y : y + h, x : x + w], (width, height), interpolation=how), dtype=np.uint8)


def _figures(face: AlignedFace) -> Row:
    seen = face.detection
    box = {k: f"{v:.1f}" for k, v in zip(("x", "y", "width", "height"), seen.box, strict=True)}
    points = {k: f"{v:.2f}" for k, v in zip(POINTS, seen.landmarks.ravel(), strict=True)}
    return {**box, **points, "score": f"{seen.score:.4f}", "residual": f"{face.residual:.4f}"}


def _write(output: Path, target: str, image: NDArray[np.uint8], settings: Mapping[str, Any]) -> Row:
    name = f"{target}.{settings['format']}"
    options = [cv2.IMWRITE_JPEG_QUALITY, int(settings["quality"])] if settings["format"] == "jpg" else []
    done, encoded = cv2.imencode(Path(name).suffix, np.ascontiguousarray(image[:, :, ::-1]), options)
    if not done:
        raise UserError(f"{output / name} could not be encoded.")
    with atomic_path(output / name) as temporary:
        temporary.write_bytes(encoded.tobytes())
    return {"output": name}
