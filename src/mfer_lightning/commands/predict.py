"""``mfer predict``: the emotions of every face in photos, a video or a camera's pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfer_lightning.config.compose import run_verb
from mfer_lightning.config.path_quoting import quote_paths
from mfer_lightning.errors import UserError, nearest
from mfer_lightning.inference.averaging import check_shift

if TYPE_CHECKING:
    from mfer_lightning.inference.predictor import Predictor

FACES = ("all", "largest", "surest", "central")


def main(arguments: Sequence[str]) -> int:
    """Run ``mfer predict``.

    Args:
        arguments: the command line after the verb.

    Returns:
        Exit code: 0 wherever the source is there, whatever its photos hold; what could not be read is said.
    """
    return run_verb("predict", _predict, quote_paths(arguments, ("source", "checkpoint", "output")))


def _predict(config: dict[str, Any]) -> int:
    _check(config)
    from mfer_lightning.inference.predict_photos import predict_photos
    from mfer_lightning.inference.predict_video import predict_video
    from mfer_lightning.inference.source_files import find_photos
    from mfer_lightning.inference.video import is_camera, is_video

    source = config["source"]
    watched = is_camera(source) or is_video(source)
    output = _output(config)
    if Path(source).expanduser().is_dir() and output.resolve() == Path(source).expanduser().resolve():
        raise UserError(f"output={output} is the folder of the photos themselves: choose another one.")
    found = None if watched else find_photos(source, leave_out=output)
    from mfer_lightning.inference.load import load_model

    options = {name: config[name] for name in ("batch_size", "flip", "shift", "precision")}
    model = load_model(config["checkpoint"], config["device"], **options)
    model.finder(aligned=config["aligned"], faces=config["faces"], detector=config["detector"])
    for note in () if config["aligned"] else model.notes:
        print(f"Note: {note}.", flush=True)
    if found is None:
        return predict_video(config, model, output)
    return predict_photos(config, model, found, output)


def journal_settings(config: dict[str, Any], model: Predictor) -> dict[str, Any]:
    """Say what predictions depend on; a folder holds those of one such setting.

    Args:
        config: plain configuration of ``mfer predict``.
        model: the loaded checkpoint.

    Returns:
        Plain values, fit for JSON.
    """
    source = Path(config["source"]).expanduser()
    settings = {
        "source": config["source"] if not source.exists() else str(source.resolve()),
        "model": model.classifier.identity(),
        "checkpoint": config["checkpoint"],
        "class_names": list(model.class_names),
        "alignment": None if config["aligned"] else model.alignment,
        **{key: config[key] for key in ("aligned", "faces", "detector", "flip", "shift", "precision")},
    }
    plain: dict[str, Any] = json.loads(json.dumps(settings))
    return plain


def _output(config: dict[str, Any]) -> Path:
    from mfer_lightning.inference.video import is_camera

    if config["output"] is not None:
        return Path(config["output"]).expanduser()
    source = Path(config["source"]).expanduser()
    if source.exists():
        return Path("predictions") / source.resolve().name
    if is_camera(config["source"]):  # each time is another recording
        return Path("predictions") / f"camera-{config['source']}-{datetime.now():%Y%m%d-%H%M%S}"
    return Path("predictions") / ("".join(c if c.isalnum() or c in "._-" else "_" for c in source.name) or "photos")


def _check(config: dict[str, Any]) -> None:
    if config["faces"] not in FACES:
        raise UserError(f"faces={config['faces']}: {nearest(config['faces'], FACES)}")
    check_shift(config["shift"])
    video = config["video"]
    for option, value, least in (
        ("batch_size", config["batch_size"], 1),
        ("workers", config["workers"], 0),
        ("max_pixels", config["max_pixels"], 1),
        ("video.timelines", video["timelines"], 0),
        ("video.smooth", video["smooth"], 0),
    ):
        if not value >= least:
            raise UserError(f"{option}={value}: the value must be at least {least}.")
    for option in ("fps", "seconds"):
        if video[option] is not None and not 0 < video[option] < float("inf"):
            raise UserError(f"video.{option}={video[option]}: the value must be above 0, or null.")
