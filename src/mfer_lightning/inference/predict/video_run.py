"""Write predictions for a video or a camera stream to a folder: track people, smooth emotions, draw timelines."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from mfer_lightning.errors import UserError
from mfer_lightning.figures.annotate import annotate as draw_marks
from mfer_lightning.figures.timeline import plot_timeline
from mfer_lightning.files import make_folder, remove_leftovers, write_json
from mfer_lightning.inference.media.detect_faces import Look
from mfer_lightning.inference.media.face_tracking import Tracker
from mfer_lightning.inference.media.video import Frames, video_writer
from mfer_lightning.inference.predict.journal import LINES, Journal, stamp_of
from mfer_lightning.inference.predict.photo_run import marks
from mfer_lightning.inference.predictor import MOST_WAITING, Predictor
from mfer_lightning.inference.results import Prediction
from mfer_lightning.progress import progress_bar
from mfer_lightning.reporting.terminal.predictions import print_summary
from mfer_lightning.sweeps.lock import run_lock

#: File that is written when a video is done, with its counts and the state of the video file.
SUMMARY = "summary.json"
#: Frames of a file that may wait for a batch to fill. A camera's frames do not wait.
_FRAMES_WAITING = 16


def predict_video(
    model: Predictor,
    frames: Frames,
    output: Path,
    settings: Mapping[str, Any],
    look: Look,
    *,
    annotate: bool,
    smooth: float,
    timelines: int,
) -> Journal:
    """Predict a video or a camera stream, and print a summary.

    A finished video is not predicted again. An interrupted one is restarted, since the tracks depend on all earlier
    frames.

    Args:
        model: the loaded model.
        frames: frames of the video or camera.
        output: folder of the results.
        settings: everything that the predictions depend on.
        look: how to look for faces.
        annotate: draw boxes and emotions on a copy of the video.
        smooth: seconds over which a person's emotions are averaged.
        timelines: maximum number of people to draw timelines for, those visible longest.

    Returns:
        The predictions in the folder.

    Raises:
        UserError: if the source cannot be read, or the folder contains predictions of something else.
    """
    stamp = None if frames.live else _stamp(Path(str(frames.source)).expanduser())
    if frames.live and (output / LINES).exists():
        raise UserError(f"output={output} contains an earlier recording. Choose another folder.")
    make_folder(output)
    with run_lock(output):
        remove_leftovers(output)
        if not frames.live and _is_done(output, stamp, annotated=annotate):
            with Journal(output, settings, model.class_names, video=True) as journal:
                print("This video was already done.")
                print_summary(journal.predictions(), model.class_names, output, 0.0, 0, what="frames")
            return journal
        (output / SUMMARY).unlink(missing_ok=True)
        started = perf_counter()
        with Journal(output, settings, model.class_names, video=True, afresh=True) as journal:
            predicted = _watch(model, frames, journal, output, look, annotate=annotate, smooth=smooth)
            _draw_timelines(journal, model.class_names, output, timelines)
        counts = print_summary(
            journal.predictions(), model.class_names, output, perf_counter() - started, predicted, what="frames"
        )
        write_json(output / SUMMARY, {"source": stamp, **counts})
    return journal


def _watch(
    model: Predictor,
    frames: Frames,
    journal: Journal,
    output: Path,
    look: Look,
    *,
    annotate: bool,
    smooth: float,
) -> int:
    """Predict the frames in order and return their number; Ctrl-C ends a camera stream like the end of a file."""
    tracker, count = Tracker(smooth=smooth, patience=max(1.0, 2.5 / frames.rate)), 0
    waiting = 1 if frames.live else min(MOST_WAITING, _FRAMES_WAITING)
    with ExitStack() as stack, progress_bar() as bar:
        task = bar.add_task(frames.name if frames.live else "frames", total=frames.expected)
        write: Callable[..., None] | None = None
        try:
            for picture, prediction, _ in model.stream(frames, look, keep_image=annotate, most_waiting=waiting):
                faces = tracker.update(prediction.faces, float(picture.time or 0.0))
                prediction = replace(prediction, faces=faces)
                journal.append(f"{picture.frame}", prediction)
                if annotate and picture.image is not None:
                    if write is None:
                        path = output / "annotated.mp4"
                        write = stack.enter_context(video_writer(path, frames.rate, picture.width, picture.height))
                    write(draw_marks(picture.image, marks(prediction)), picture.time)
                count += 1
                bar.advance(task)
        except KeyboardInterrupt:
            if not frames.live:
                raise
            print("Stopped.", flush=True)
    if frames.message:
        end = Prediction(frames.name, status=frames.status, message=frames.message, frame=count or None)
        journal.append("end", end)
    return count


def _draw_timelines(journal: Journal, class_names: tuple[str, ...], output: Path, most: int) -> None:
    """Draw the emotions over time of the people who are visible longest."""
    times: dict[int, list[float]] = defaultdict(list)
    shares: dict[int, list[list[float]]] = defaultdict(list)
    for prediction in journal.predictions():
        for face in prediction.faces:
            if face.track is not None:
                times[face.track].append(float(prediction.time or 0.0))
                shares[face.track].append([face.shown[name] for name in class_names])
    people = sorted((track for track in times if len(times[track]) > 1), key=lambda track: -len(times[track]))
    for old in output.glob("timeline_*.png"):
        old.unlink()
    for track in people[:most]:
        path = output / f"timeline_{track}.png"
        plot_timeline(times[track], np.array(shares[track]), class_names, path, f"Person {track}")
    if people[:most]:
        more = f" (of the {most} people visible longest, out of {len(people)})" if len(people) > most else ""
        print(f"Timelines: {output}/timeline_<person>.png{more}")


def _is_done(output: Path, stamp: list[int] | None, *, annotated: bool) -> bool:
    try:
        before = json.loads((output / SUMMARY).read_text(encoding="utf-8"))
        with (output / LINES).open("rb") as file:
            lines = sum(line.endswith(b"\n") for line in file)
        whole = before["source"] == stamp and before["frames"] == lines
        return whole and (not annotated or (output / "annotated.mp4").is_file())
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _stamp(path: Path) -> list[int]:
    try:
        return list(stamp_of(path))
    except OSError as error:
        raise UserError(f"source={path} cannot be read ({error.strerror}).") from error
