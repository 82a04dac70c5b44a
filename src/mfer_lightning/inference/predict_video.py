"""A video or a camera through a model: frames, people followed, emotions evened out, timelines."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from rich.progress import Progress

from mfer_lightning.commands.predict import journal_settings
from mfer_lightning.errors import UserError
from mfer_lightning.figures.annotate import annotate
from mfer_lightning.figures.timeline import plot_timeline
from mfer_lightning.files import make_folder, remove_leftovers, write_json
from mfer_lightning.inference.journal import LINES, Journal
from mfer_lightning.inference.photos import Picture
from mfer_lightning.inference.predict_photos import marks
from mfer_lightning.inference.predictor import MOST_WAITING, Predictor
from mfer_lightning.inference.results import Prediction
from mfer_lightning.inference.tracking import Tracker
from mfer_lightning.inference.video import Frames, is_camera, video_writer
from mfer_lightning.report.terminal.predictions import print_summary
from mfer_lightning.sweep.lock import run_lock

#: Written when a video is done: its counts, and which state of the file they are of.
SUMMARY = "summary.json"
#: Live pictures are not kept waiting for a batch; frames of a file are, a few.
_FRAMES_WAITING = 16


def predict_video(config: Mapping[str, Any], model: Predictor, output: Path) -> int:
    """Predict a video or a camera's pictures, and say what there is.

    A finished video is not looked at again; one that was broken off is begun anew, since who is who depends on all
    frames before.

    Args:
        config: plain configuration of ``mfer predict``.
        model: the loaded checkpoint.
        output: folder of the results.

    Returns:
        Exit code 0.

    Raises:
        UserError: where there is no such camera, or the folder holds predictions of something else.
    """
    source, video = config["source"], config["video"]
    live = is_camera(source)
    frames = Frames(
        int(source) if live else source,
        fps=video["fps"],
        seconds=video["seconds"],
        most_pixels=config["max_pixels"],
    )
    stamp = None if live else _stamp(Path(source).expanduser())
    watched = {key: video[key] for key in ("fps", "smooth", "seconds")}
    settings = {**journal_settings(dict(config), model), "video": watched}
    if live and (output / LINES).exists():
        raise UserError(f"output={output} holds an earlier recording: choose another folder.")
    make_folder(output)
    with run_lock(output):
        remove_leftovers(output)
        if not live and _is_done(output, stamp, annotated=config["annotate"]):
            with Journal(output, settings, model.class_names, video=True) as journal:
                print("This video was done before.")
                print_summary(journal.predictions(), model.class_names, output, 0.0, 0, what="frames")
            return 0
        (output / SUMMARY).unlink(missing_ok=True)
        started = perf_counter()
        with Journal(output, settings, model.class_names, video=True, afresh=True) as journal:
            looked_at = _watch(config, model, frames, journal, output)
            _draw_timelines(journal, model.class_names, output, video["timelines"])
        counts = print_summary(
            journal.predictions(), model.class_names, output, perf_counter() - started, looked_at, what="frames"
        )
        write_json(output / SUMMARY, {"source": stamp, **counts})
    return 0


def _watch(config: Mapping[str, Any], model: Predictor, frames: Frames, journal: Journal, output: Path) -> int:
    """Look at frame after frame; Ctrl-C ends a camera's pictures as the end of a file ends a video."""
    tracker, count = Tracker(smooth=config["video"]["smooth"], patience=max(1.0, 2.5 / frames.rate)), 0
    with ExitStack() as stack, Progress(transient=True) as bar:
        task = bar.add_task(frames.name if frames.live else "frames", total=frames.expected)
        write: Callable[[Any], None] | None = None
        try:
            for picture, prediction in _predictions(config, model, frames):
                faces = tracker.update(prediction.faces, float(picture.time or 0.0))
                prediction = replace(prediction, faces=faces)
                journal.append(f"{picture.frame}", prediction)
                if config["annotate"] and picture.image is not None:
                    if write is None:
                        path = output / "annotated.mp4"
                        write = stack.enter_context(video_writer(path, frames.rate, picture.width, picture.height))
                    write(annotate(picture.image, marks(prediction)))
                count += 1
                bar.advance(task)
        except KeyboardInterrupt:
            if not frames.live:
                raise
            print("Stopped.", flush=True)
    if frames.message:
        number = None if count == 0 else count
        journal.append("end", Prediction(frames.name, status=frames.status, message=frames.message, frame=number))
    return count


def _predictions(config: Mapping[str, Any], model: Predictor, frames: Frames) -> Iterator[tuple[Picture, Prediction]]:
    results = model.stream(
        frames,
        aligned=config["aligned"],
        faces=config["faces"],
        detector=config["detector"],
        keep_image=config["annotate"],
        most_waiting=1 if frames.live else min(MOST_WAITING, _FRAMES_WAITING),
    )
    for picture, prediction, _ in results:
        yield picture, prediction


def _draw_timelines(journal: Journal, class_names: tuple[str, ...], output: Path, most: int) -> None:
    """Draw the people who are seen longest."""
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
        more = f", of the {most} seen longest of {len(people)}" if len(people) > most else ""
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
        facts = path.stat()
    except OSError as error:
        raise UserError(f"source={path} cannot be read ({error.strerror}).") from error
    return [int(facts.st_size), int(facts.st_mtime_ns)]
