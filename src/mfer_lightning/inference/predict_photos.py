"""Photos through a model, into a folder that a second start goes on with."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from rich.progress import Progress

from mfer_lightning.commands.predict import journal_settings
from mfer_lightning.figures.annotate import annotate, write_picture
from mfer_lightning.files import make_folder, remove_leftovers
from mfer_lightning.inference.detect_faces import find_in_files
from mfer_lightning.inference.journal import Journal, Stamp
from mfer_lightning.inference.predictor import Predictor, Result
from mfer_lightning.inference.results import NO_FACE, OK, Prediction
from mfer_lightning.inference.source_files import Photos
from mfer_lightning.report.terminal.predictions import count, print_summary
from mfer_lightning.sweep.lock import run_lock

#: Of a file's name in bytes; file systems allow 255, and some are used while a file is written.
_LONGEST_NAME = 240


def predict_photos(config: Mapping[str, Any], model: Predictor, photos: Photos, output: Path) -> int:
    """Predict the photos that an earlier start has not, and say what there is.

    Args:
        config: plain configuration of ``mfer predict``.
        model: the loaded checkpoint.
        photos: what to look at.
        output: folder of the results.

    Returns:
        Exit code 0.

    Raises:
        UserError: where the folder holds predictions of something else, or cannot be written to.
    """
    make_folder(output)
    with run_lock(output):
        remove_leftovers(output)
        started = perf_counter()
        with Journal(output, journal_settings(dict(config), model), model.class_names) as journal:
            left, changed = _left(photos, journal, retry=config["retry"])
            journal.forget(changed)
            if len(left) < len(photos.paths):
                print(f"{len(photos.paths) - len(left):,} of {len(photos.paths):,} photos were done before.")
            if changed:
                print(f"Changed since, or tried again: {count(len(changed), 'photos')}.")
            _predict(config, model, left, journal, output)
        print_summary(journal.predictions(), model.class_names, output, perf_counter() - started, len(left))
        _say_what_was_left_alone(photos)
    return 0


def _left(photos: Photos, journal: Journal, *, retry: bool) -> tuple[dict[str, tuple[Path, Stamp]], list[str]]:
    """Compare the photos with what was done: those to do, by key, and the keys whose earlier lines are stale."""
    before = journal.done()
    left: dict[str, tuple[Path, Stamp]] = {}
    stale = []
    for path in photos.paths:
        key, stamp = photos.key(path), _stamp(path)
        if key in before:
            same, status = before[key][0] == stamp, before[key][1]
            if same and not (retry and status not in (OK, NO_FACE)):
                continue
            stale.append(key)
        left[key] = (path, stamp)
    return left, stale


def _predict(
    config: Mapping[str, Any],
    model: Predictor,
    left: Mapping[str, tuple[Path, Stamp]],
    journal: Journal,
    output: Path,
) -> None:
    keys = iter(left.items())
    with Progress(transient=True) as bar:
        task = bar.add_task("photos", total=len(left))
        for picture, prediction, _ in _results(config, model, [path for path, _ in left.values()]):
            key, (_, stamp) = next(keys)
            if config["annotate"] and picture.image is not None and prediction.faces:
                write_picture(_copy(output, key), annotate(picture.image, marks(prediction)))
            journal.append(key, prediction, stamp)
            bar.advance(task)


def _results(config: Mapping[str, Any], model: Predictor, paths: list[Path]) -> Iterator[Result]:
    how = {key: config[key] for key in ("aligned", "faces", "detector")}
    settings = {**how, "alignment": model.alignment, "most_pixels": config["max_pixels"]}
    keep: bool = config["annotate"]
    found = find_in_files(paths, model.finder(**how), settings, workers=config["workers"], keep_image=keep)
    return model.finish(found, keep_image=keep)


def marks(prediction: Prediction) -> list[tuple[tuple[float, float, float, float] | None, str, Mapping[str, float]]]:
    """Give the faces of a photo as the figures want them."""
    return [(f.box, "" if f.track is None else f"person {f.track}", f.shown) for f in prediction.faces]


def _copy(output: Path, key: str) -> Path:
    """Name the annotated copy of a photo; it keeps the photo's whole name, since others may differ in the ending.

    Names that leave no room for an ending, and for what is added while the copy is written, are cut.
    """
    whole = output / "annotated" / (key if key.lower().endswith((".jpg", ".jpeg")) else f"{key}.jpg")
    if len(os.fsencode(whole.name)) <= _LONGEST_NAME:
        return whole
    start = os.fsencode(whole.name)[: _LONGEST_NAME - 14].decode("utf-8", "ignore")
    return whole.with_name(f"{start}-{hashlib.sha256(key.encode()).hexdigest()[:8]}.jpg")


def _stamp(path: Path) -> Stamp:
    try:
        facts = path.stat()
    except OSError:
        return 0, 0
    return int(facts.st_size), int(facts.st_mtime_ns)


def _say_what_was_left_alone(photos: Photos) -> None:
    if photos.left_alone:
        words = ", ".join(f"{n:,} {ending}" for ending, n in sorted(photos.left_alone.items()))
        total = int(np.sum(list(photos.left_alone.values())))
        print(f"Left alone, no photos by name or content: {count(total, 'files')} ({words}).")
