"""``mfer predict``: write predictions for photos, a video or a camera stream to a folder."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from mfer_lightning.bundled.registry import default_model, find_bundled
from mfer_lightning.confidence import check_uncertain
from mfer_lightning.data.images.cache import available_cpus
from mfer_lightning.errors import UserError, check_choice, check_least
from mfer_lightning.inference.arithmetic import check_precision
from mfer_lightning.inference.compilation import check_compile
from mfer_lightning.inference.load import load_model
from mfer_lightning.inference.media.detect_faces import Look
from mfer_lightning.inference.media.photo_files import find_photos
from mfer_lightning.inference.media.photos import MOST_PIXELS
from mfer_lightning.inference.media.video import Frames, is_camera, is_video
from mfer_lightning.inference.predict.journal import FolderPredictions
from mfer_lightning.inference.predict.photo_run import predict_photos
from mfer_lightning.inference.predictor import Predictor
from mfer_lightning.inference.results import Predictions
from mfer_lightning.views import check_shift

#: Names of the precisions in the settings of a folder, as in earlier versions.
_PRECISIONS_OF_FOLDERS = {"32-true": "float32", "bf16-mixed": "bfloat16", "16-mixed": "float16"}

#: Minimum number of photos for which separate processes are started by default, if a GPU leaves the cores idle.
MANY = 64

FACES = ("all", "largest", "surest", "central")


def predict(
    source: Any,
    checkpoint: str | PathLike[str] | Predictor | None = None,
    output: str | Path | None = None,
    *,
    aligned: bool = False,
    faces: str = "all",
    detector: Mapping[str, Any] | None = None,
    flip: bool | None = None,
    shift: float | None = None,
    rotate: bool = False,
    second_look: bool = True,
    annotate: bool = False,
    retry: bool = False,
    max_pixels: int = MOST_PIXELS,
    batch_size: int | None = None,
    workers: int | None = None,
    device: str = "auto",
    precision: str = "auto",
    compile: bool | str = "auto",
    verify: bool = True,
    uncertain: bool | float | None = None,
    fps: float | None = 5.0,
    smooth: float = 0.5,
    seconds: float | None = None,
    timelines: int = 12,
    plugins: Sequence[str] = (),
) -> Predictions:
    """Predict the emotions of every face in photos, a video or a camera stream.

    Unless the source is in memory, the results are written to a folder and summarised. A repeated command skips photos
    and videos that are done; an interrupted video is restarted.

    Args:
        source: a photo, a folder (read recursively), a pattern, a video, or a camera's number; or pictures in memory,
            as for :meth:`.Predictor.predict`, for which nothing is written.
        checkpoint: a run, a run's folder, a checkpoint, an export, the name of a bundled model, or a loaded model,
            which keeps its batch size, views, device and precision; None: the default bundled model.
        output: folder of the results; None: ``predictions/<name of the source>``.
        aligned: the pictures are already faces, aligned as in training.
        faces: which faces of a photo to use, one of :data:`FACES`.
        detector: options of the detector that override the checkpoint's.
        flip: average with the mirrored face; None: as stored in the checkpoint.
        shift: average with four shifted copies; None: as stored in the checkpoint.
        rotate: rotate photos without a face by 90, 180 and 270 degrees and detect again.
        second_look: detect again with a border and a lower threshold in photos where no face has been found.
        annotate: draw boxes and emotions on copies of the photos or the video.
        retry: retry the photos that an earlier command could not read.
        max_pixels: larger photos are not decoded.
        batch_size: faces per batch; None: 256 on a GPU, 64 elsewhere.
        workers: number of processes that read photos and find faces; 0: only this process; None: with a GPU and at
            least :data:`MANY` photos, one less than the number of cores, else only this process.
        device: ``"auto"``, or a torch device.
        precision: ``"auto"`` (bfloat16 on a GPU with native bfloat16, else float32), ``"32-true"``, ``"bf16-mixed"``,
            or ``"16-mixed"`` on GPUs.
        compile: compile the network; ``"auto"``: on a GPU, if there are enough photos to make it worthwhile.
        verify: compare the weights with the stored checksums.
        uncertain: probability below which a prediction is uncertain. None: the model's threshold, if it has one; True:
            the model's threshold, which is then required; False: no prediction is uncertain. A loaded model keeps its
            own threshold.
        fps: frames per second of a video; None: all.
        smooth: time constant of the exponential smoothing of a person's emotions in a video, in seconds; 0: none.
        seconds: stop a video after this time; None: at its end.
        timelines: maximum number of people in a video to draw timelines for, those visible longest.
        plugins: your own packages that define parts of the model; importing them executes their code.

    Returns:
        One prediction per photo or frame; unless the source is in memory, ``.folder`` is where they were written.

    Raises:
        UserError: for illegal options, a missing source, or an output folder that contains something else.
    """
    check_choice("faces", faces, FACES)
    check_shift(shift)
    check_least("batch_size", 1 if batch_size is None else batch_size, 1)
    check_precision(precision)
    check_compile(compile)
    check_least("workers", 0 if workers is None else workers, 0)
    check_least("max_pixels", max_pixels, 1)
    check_least("video.timelines", timelines, 0)
    check_least("video.smooth", smooth, 0)
    for option, rate in (("fps", fps), ("seconds", seconds)):
        if rate is not None and not 0 < rate < math.inf:
            raise UserError(f"video.{option}={rate}: the value must be above 0, or null.")

    if rotate and aligned:
        raise UserError("rotate=true looks for faces, but aligned=true does not. Leave out one of them.")
    look = Look(aligned, faces, dict(detector or {}), rotate, second_look and not aligned)
    opening: dict[str, Any] = {"flip": flip, "shift": shift, "precision": precision, "verify": verify}
    opening |= {"plugins": plugins, "compile": compile, "uncertain": check_uncertain(uncertain)}
    if not isinstance(source, (str, PathLike)):
        if output is not None or annotate:
            raise UserError(
                "Nothing is written for pictures in memory. Leave out output and annotate, or save the pictures first."
            )
        model = _opened(checkpoint, device, batch_size, opening)
        return model.predict(source, max_pixels=max_pixels, **asdict(look))
    source = fspath(source)
    folder = _default_output(source) if output is None else Path(output).expanduser()
    path = Path(source).expanduser()
    if path.is_dir() and folder.resolve() == path.resolve():
        raise UserError(f"output={folder} is the folder of the photos themselves. Choose another folder.")
    watched = is_camera(source) or is_video(source)
    photos = None if watched else find_photos(source, leave_out=folder)
    model = _opened(checkpoint, device, batch_size, opening, 0 if photos is None else len(photos.paths))
    model.finder(look)
    for note in () if aligned else model.notes:
        print(f"Note: {note}.", flush=True)
    # what predictions depend on: all predictions in a folder share these settings
    settings = {
        "source": str(path.resolve()) if path.exists() else source,
        "model": model.classifier.identity(),
        "checkpoint": "in memory" if isinstance(checkpoint, Predictor) else _named(checkpoint),
        "class_names": list(model.class_names),
        "alignment": None if aligned else model.alignment,
        **asdict(look),
        "rotate": rotate or None,  # folders of earlier versions contain neither this setting nor the next
        "second_look": look.second_look or None,
        "flip": flip,
        "shift": shift,
        "precision": _PRECISIONS_OF_FOLDERS[model.precision],
        "uncertain": model.threshold,
    }
    if photos is None:
        settings["video"] = {"fps": fps, "smooth": smooth, "seconds": seconds}
    settings = json.loads(json.dumps(settings))
    if photos is None:
        camera = int(source) if is_camera(source) else source
        frames = Frames(camera, fps=fps, seconds=seconds, most_pixels=max_pixels)
        from mfer_lightning.inference.predict.video_run import predict_video  # imports matplotlib and SciPy

        drawn: dict[str, Any] = {"annotate": annotate, "smooth": smooth, "timelines": timelines}
        journal = predict_video(model, frames, folder, settings, look, **drawn)
    else:
        further: dict[str, Any] = {"annotate": annotate, "retry": retry}
        further["workers"] = usual_workers(model.device, len(photos.paths)) if workers is None else workers
        journal = predict_photos(model, photos, folder, settings, look, most_pixels=max_pixels, **further)
    return FolderPredictions(journal, () if aligned else model.notes)


def _opened(
    checkpoint: str | PathLike[str] | Predictor | None,
    device: str,
    batch_size: int | None,
    opening: Mapping[str, Any],
    expected_faces: int = 0,
) -> Predictor:
    if isinstance(checkpoint, Predictor):
        return checkpoint
    return load_model(checkpoint, device, batch_size=batch_size, expected_faces=expected_faces, **opening)


def _named(checkpoint: str | PathLike[str] | None) -> str:
    """Return a model's name for the settings of a folder: a bundled one always with its version."""
    if checkpoint is None:
        return default_model().full_name
    name = fspath(checkpoint)
    bundled = None if Path(name).exists() else find_bundled(name)
    return name if bundled is None else bundled.full_name


def usual_workers(device: str, photos: int) -> int:
    """Return the default number of processes that find faces.

    Args:
        device: device of the network, e.g. ``"cuda:0"``. On the CPU the network needs the cores itself.
        photos: number of photos.

    Example:
        >>> usual_workers("cpu", 10_000), usual_workers("cuda:0", 3)
        (0, 0)
    """
    return max(0, available_cpus() - 1) if device.startswith("cuda") and photos >= MANY else 0


def _default_output(source: str) -> Path:
    path = Path(source).expanduser()
    if path.exists():
        name = path.resolve().name
    elif is_camera(source):  # every command is a new recording
        name = f"camera-{source}-{datetime.now():%Y%m%d-%H%M%S}"
    else:
        name = "".join(c if c.isalnum() or c in "._-" else "_" for c in path.name) or "photos"
    return Path("predictions") / name
