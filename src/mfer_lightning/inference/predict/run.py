"""``mfer predict``: predict photos, a video or a camera's pictures into a folder."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from mfer_lightning.errors import UserError, check_choice, check_least
from mfer_lightning.inference.load import load_model
from mfer_lightning.inference.media.photo_files import find_photos
from mfer_lightning.inference.media.photos import MOST_PIXELS
from mfer_lightning.inference.media.video import Frames, is_camera, is_video
from mfer_lightning.inference.predict.photo_run import predict_photos
from mfer_lightning.inference.predict.video_run import predict_video
from mfer_lightning.views import check_shift

FACES = ("all", "largest", "surest", "central")


def predict(
    checkpoint: str | Path,
    source: str,
    output: str | Path | None = None,
    *,
    aligned: bool = False,
    faces: str = "all",
    detector: Mapping[str, Any] | None = None,
    flip: bool | None = None,
    shift: float | None = None,
    annotate: bool = False,
    retry: bool = False,
    max_pixels: int = MOST_PIXELS,
    batch_size: int = 64,
    workers: int = 0,
    device: str = "auto",
    precision: str = "float32",
    verify: bool = True,
    fps: float | None = 5.0,
    smooth: float = 0.5,
    seconds: float | None = None,
    timelines: int = 12,
) -> Path:
    """Predict the emotions of every face, and print a summary. A second start continues where the first one ended.

    Args:
        checkpoint: a run's folder, a checkpoint, or what ``mfer export`` wrote.
        source: a photo, a folder with everything below it, a pattern, a video, or a camera's number.
        output: folder of the results; None: ``predictions/<name of the source>``.
        aligned: the pictures are faces already, aligned as in training.
        faces: which faces of a photo, of :data:`FACES`.
        detector: options of the detector that win over the checkpoint's.
        flip: average with the mirrored face; None: as the checkpoint says.
        shift: average with four shifted copies; None: as the checkpoint says.
        annotate: draw boxes and emotions into copies of the photos, or into a video.
        retry: try again the photos that an earlier start could not read.
        max_pixels: larger photos are not decoded.
        batch_size: faces at a time.
        workers: processes that read photos and find faces; 0: this one.
        device: ``"auto"``, or a torch device.
        precision: ``"float32"`` or ``"bfloat16"``.
        verify: compare the weights with the checksums in their file.
        fps: frames a second of a video; None: all.
        smooth: seconds over which a person's emotions are averaged in a video; 0: not at all.
        seconds: stop a video after these; None: at its end.
        timelines: figures of the people who are seen longest in a video.

    Returns:
        The folder of the results.

    Raises:
        UserError: for illegal options, a source that is not there, or a folder that holds something else.
    """
    check_choice("faces", faces, FACES)
    check_shift(shift)
    check_least("batch_size", batch_size, 1)
    check_least("workers", workers, 0)
    check_least("max_pixels", max_pixels, 1)
    check_least("video.timelines", timelines, 0)
    check_least("video.smooth", smooth, 0)
    for option, rate in (("fps", fps), ("seconds", seconds)):
        if rate is not None and not 0 < rate < math.inf:
            raise UserError(f"video.{option}={rate}: the value must be above 0, or null.")

    folder = _default_output(source) if output is None else Path(output).expanduser()
    path = Path(source).expanduser()
    if path.is_dir() and folder.resolve() == path.resolve():
        raise UserError(f"output={folder} is the folder of the photos themselves: choose another one.")
    watched = is_camera(source) or is_video(source)
    photos = None if watched else find_photos(source, leave_out=folder)
    looks: dict[str, Any] = {"aligned": aligned, "faces": faces, "detector": dict(detector or {})}
    model = load_model(
        checkpoint, device, batch_size=batch_size, flip=flip, shift=shift, precision=precision, verify=verify
    )
    model.finder(**looks)
    for note in () if aligned else model.notes:
        print(f"Note: {note}.", flush=True)
    # what predictions depend on: a folder holds those of one such setting
    settings = {
        "source": str(path.resolve()) if path.exists() else source,
        "model": model.classifier.identity(),
        "checkpoint": str(checkpoint),
        "class_names": list(model.class_names),
        "alignment": None if aligned else model.alignment,
        **looks,
        "flip": flip,
        "shift": shift,
        "precision": precision,
    }
    if photos is None:
        settings["video"] = {"fps": fps, "smooth": smooth, "seconds": seconds}
    settings = json.loads(json.dumps(settings))
    if photos is None:
        camera = int(source) if is_camera(source) else source
        frames = Frames(camera, fps=fps, seconds=seconds, most_pixels=max_pixels)
        predict_video(model, frames, folder, settings, looks, annotate=annotate, smooth=smooth, timelines=timelines)
    else:
        further: dict[str, Any] = {"annotate": annotate, "retry": retry, "workers": workers}
        predict_photos(model, photos, folder, settings, looks, most_pixels=max_pixels, **further)
    return folder


def _default_output(source: str) -> Path:
    path = Path(source).expanduser()
    if path.exists():
        name = path.resolve().name
    elif is_camera(source):  # each time is another recording
        name = f"camera-{source}-{datetime.now():%Y%m%d-%H%M%S}"
    else:
        name = "".join(c if c.isalnum() or c in "._-" else "_" for c in path.name) or "photos"
    return Path("predictions") / name
