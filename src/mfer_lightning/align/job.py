"""Many photos aligned, in several processes, and gone on with where an earlier start ended."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mfer_lightning.align.aligner import AlignedFace, Aligner
from mfer_lightning.align.detectors import build_detector
from mfer_lightning.align.plan import Photo
from mfer_lightning.align.report import CENTRE, DONE, NO_FACE, POINTS, SEVERAL, UNREADABLE
from mfer_lightning.data.images.decode import decode
from mfer_lightning.errors import UserError
from mfer_lightning.files import atomic_path

Row = dict[str, Any]

#: What happens to a photo with several faces, besides the choices of the aligner; and to one without.
SEVERAL_FACES = ("largest", "surest", "central", "all", "skip")
NO_FACES = ("skip", "centre")

_aligner: Aligner | None = None  # of a worker process


def build_aligner(settings: Mapping[str, Any]) -> Aligner:
    """Build the aligner that settings describe: ``detector`` (name and options) and the options of :class:`Aligner`.

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
    """Align photos and write the faces.

    Args:
        photos: what to align.
        settings: of :func:`build_aligner`, and ``faces``, ``no_face``, ``format``, ``quality``.
        output: folder of the faces.
        workers: processes; 0 and 1: this one.

    Yields:
        The report's rows of one photo, in the order of the photos.

    Raises:
        UserError: where the disk is full, a worker died, or settings are illegal.
    """
    task = partial(_one, settings=dict(settings), output=output)
    if workers <= 1:
        aligner = build_aligner(settings)
        for photo in photos:
            yield align_photo(photo, aligner, settings, output)
        return
    context = multiprocessing.get_context("spawn")  # OpenCV's threads do not survive a fork
    try:
        with ProcessPoolExecutor(workers, context, initializer=_start, initargs=(dict(settings),)) as pool:
            yield from pool.map(task, photos, chunksize=4)
    except BrokenProcessPool as error:
        raise UserError(
            "A worker process died (out of memory?). What is done is kept: the same command goes on; use fewer workers."
        ) from error


def _start(settings: Mapping[str, Any]) -> None:
    global _aligner
    cv2.setNumThreads(1)
    _aligner = build_aligner(settings)


def _one(photo: Photo, settings: Mapping[str, Any], output: Path) -> list[Row]:
    assert _aligner is not None
    return align_photo(photo, _aligner, settings, output)


def align_photo(photo: Photo, aligner: Aligner, settings: Mapping[str, Any], output: Path) -> list[Row]:
    """Align one photo and write its faces.

    Returns:
        The rows of the report: one a face, or one that says why there is none.
    """
    try:
        image = decode(photo.source)
    except UserError as error:
        return [{"photo": photo.name, "status": UNREADABLE, "faces": 0, "message": str(error)}]
    found = aligner.detector.detect(image)
    if not found:
        if settings["no_face"] == "centre":
            path = _write(output / photo.target, centre_crop(image, aligner.width, aligner.height), settings)
            return [{"photo": photo.name, "status": CENTRE, "faces": 0, "output": _name(path, output)}]
        return [{"photo": photo.name, "status": NO_FACE, "faces": 0}]
    if len(found) > 1 and settings["faces"] == "skip":
        return [{"photo": photo.name, "status": SEVERAL, "faces": len(found), "message": "skipped, as asked"}]
    faces = aligner.align(image)
    rows = []
    for number, face in enumerate(faces):
        target = photo.target if number == 0 else f"{photo.target.removesuffix('_aligned')}_{number + 1}_aligned"
        path = _write(output / target, face.image, settings)
        rows.append(_row(photo.name, face, len(found), _name(path, output)))
    return rows


def centre_crop(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Cut the largest middle piece of the crop's shape, and resize it."""
    rows, columns = image.shape[:2]
    scale = min(columns / width, rows / height)
    w, h = max(1, round(width * scale)), max(1, round(height * scale))
    y, x = (rows - h) // 2, (columns - w) // 2
    how = cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image[y : y + h, x : x + w], (width, height), interpolation=how), dtype=np.uint8)


def _row(name: str, face: AlignedFace, count: int, output: str) -> Row:
    seen = face.detection
    numbers = {k: f"{v:.1f}" for k, v in zip(("x", "y", "width", "height"), seen.box, strict=True)}
    points = {k: f"{v:.2f}" for k, v in zip(POINTS, seen.landmarks.ravel(), strict=True)}
    shares = {"score": f"{seen.score:.4f}", "residual": f"{face.residual:.4f}"}
    return {"photo": name, "status": DONE, "output": output, "faces": count, **numbers, **points, **shares}


def _write(target: Path, image: NDArray[np.uint8], settings: Mapping[str, Any]) -> Path:
    suffix = settings["format"]
    path = target.with_name(f"{target.name}.{suffix}")
    options: dict[str, list[int]] = {"jpg": [cv2.IMWRITE_JPEG_QUALITY, int(settings["quality"])], "png": []}
    done, encoded = cv2.imencode(f".{suffix}", np.ascontiguousarray(image[:, :, ::-1]), options[suffix])
    if not done:
        raise UserError(f"{path} could not be encoded.")
    with atomic_path(path) as temporary:
        temporary.write_bytes(encoded.tobytes())
    return path


def _name(path: Path, output: Path) -> str:
    return path.relative_to(output).as_posix()
