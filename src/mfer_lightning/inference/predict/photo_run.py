"""Write predictions for photos to a folder, except those already done by an earlier command."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from mfer_lightning.files import make_folder, remove_leftovers
from mfer_lightning.inference.media.detect_faces import Look, find_in_files
from mfer_lightning.inference.media.face_quality import GOOD
from mfer_lightning.inference.media.photo_files import Photos
from mfer_lightning.inference.predict.journal import Journal, Stamp, stamp_of
from mfer_lightning.inference.predictor import Predictor
from mfer_lightning.inference.result_columns import UNCERTAIN
from mfer_lightning.inference.results import NO_FACE, OK, Face, Prediction
from mfer_lightning.plurals import counted
from mfer_lightning.progress import progress_bar
from mfer_lightning.reporting.terminal.predictions import print_summary
from mfer_lightning.sweeps.lock import run_lock

if TYPE_CHECKING:
    from mfer_lightning.figures.annotate import Mark

#: Maximum bytes of a file name. File systems allow 255, of which a temporary name needs some.
_LONGEST_NAME = 240


def predict_photos(
    model: Predictor,
    photos: Photos,
    output: Path,
    settings: Mapping[str, Any],
    look: Look,
    *,
    annotate: bool,
    retry: bool,
    most_pixels: int,
    workers: int,
) -> Journal:
    """Predict the photos that are not done yet, and print a summary.

    Args:
        model: the loaded model.
        photos: the photos.
        output: folder of the results.
        settings: everything that the predictions depend on.
        look: how to look for faces.
        annotate: draw boxes and emotions on copies of the photos.
        retry: retry the photos that could not be read.
        most_pixels: larger photos are not decoded.
        workers: processes that read photos and find faces.

    Returns:
        The predictions in the folder.

    Raises:
        UserError: if the folder contains predictions of another source or model or with other settings, or cannot be
            written to.
    """
    make_folder(output)
    with run_lock(output):
        remove_leftovers(output)
        started = perf_counter()
        with Journal(output, settings, model.class_names) as journal:
            left, stale, changed = _left(photos, journal, retry=retry)
            journal.forget(stale)
            if len(left) < len(photos.paths):
                print(f"Already done: {len(photos.paths) - len(left):,} of {counted(len(photos.paths), 'photo')}.")
            if changed:
                print(f"Changed since then, or retried: {counted(len(changed), 'photo')}.")
            found = find_in_files(
                [path for path, _ in left.values()],
                model.finder(look),
                most_pixels=most_pixels,
                workers=workers,
                keep_image=annotate,
            )
            with progress_bar() as bar:
                task = bar.add_task("photos", total=len(left))
                photo = iter(left.items())
                for batch in model.finish_batches(found, keep_image=annotate):
                    for number, (picture, prediction, _) in enumerate(batch, start=1):
                        key, (_, stamp) = next(photo)
                        if annotate and picture.image is not None and prediction.faces:
                            from mfer_lightning.figures.annotate import annotate as draw_marks
                            from mfer_lightning.figures.annotate import write_picture  # imports matplotlib

                            write_picture(_copy(output, key), draw_marks(picture.image, marks(prediction)))
                        journal.append(key, prediction, stamp, ends_batch=number == len(batch))
                        bar.advance(task)
                    del batch, picture  # they would keep the pixels of this batch until the next one is full
                assert next(photo, None) is None
        print_summary(journal.predictions(), model.class_names, output, perf_counter() - started, len(left))
        if photos.left_alone:
            print(photos.describe_left_alone())
    return journal


def _left(photos: Photos, journal: Journal, *, retry: bool) -> tuple[dict[str, tuple[Path, Stamp]], set[str], set[str]]:
    """Return the photos to predict, by key, the keys whose earlier lines are stale, and those of changed photos.

    The lines of an incomplete batch are stale, but their photos have not changed.
    """
    before = journal.done()
    left: dict[str, tuple[Path, Stamp]] = {}
    stale: set[str] = set()
    changed: set[str] = set()
    for path in photos.paths:
        key = photos.key(path)
        try:
            stamp = stamp_of(path)
        except OSError:
            stamp = 0, 0
        if key in before:
            earlier = before[key]
            if earlier.whole:
                if earlier.stamp == stamp and not (retry and earlier.status not in (OK, NO_FACE)):
                    continue
                changed.add(key)
            stale.add(key)
        left[key] = (path, stamp)
    return left, stale, changed


def marks(prediction: Prediction) -> list[Mark]:
    """Return what to draw for each face of a photo."""
    return [(face.box, _name(face), face.shown) for face in prediction.faces]


def _name(face: Face) -> str:
    """Return the person, uncertainty, quality (unless good), valence and arousal of a face, as far as available."""
    person = "" if face.track is None else f"person {face.track}"
    affect = [f"{name} {value:+.2f}" for name, value in face.affect.items()]
    doubt = UNCERTAIN if face.uncertain else ""
    return ", ".join(filter(None, (person, doubt, "" if face.quality in (None, GOOD) else face.quality, *affect)))


def _copy(output: Path, key: str) -> Path:
    """Return the path of a photo's annotated copy.

    Its name includes the photo's extension, because the names of other photos may differ only in the extension. Names
    that are too long for an extension and a temporary suffix are truncated.
    """
    whole = output / "annotated" / (key if key.lower().endswith((".jpg", ".jpeg")) else f"{key}.jpg")
    if len(os.fsencode(whole.name)) <= _LONGEST_NAME:
        return whole
    start = os.fsencode(whole.name)[: _LONGEST_NAME - 14].decode("utf-8", "ignore")
    return whole.with_name(f"{start}-{hashlib.sha256(key.encode()).hexdigest()[:8]}.jpg")
