"""``mfer predict``: predict the emotion of every face in photos, a video or a camera stream."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mfer_lightning.config.compose import run_verb
from mfer_lightning.config.path_quoting import quoted
from mfer_lightning.errors import UserError
from mfer_lightning.memory import importing_torch


def main(arguments: Sequence[str]) -> int:
    """Run ``mfer predict``.

    Args:
        arguments: the command-line arguments after ``predict``.

    Returns:
        Exit code: 0, even if photos are unreadable or contain no faces; 1 if one of several jobs of a sweep failed.
    """
    return run_verb("predict", _predict, overrides(arguments))


def overrides(arguments: Sequence[str]) -> list[str]:
    """Convert a positional argument to ``source=``.

    Raises:
        UserError: if more than one source is given, positionally or with ``source=``.

    Example:
        >>> overrides(["photo.jpg", "annotate=true"])
        ["source='photo.jpg'", 'annotate=true']
    """
    named = [a for a in arguments if not a.startswith("-") and ("=" not in a or Path(a).expanduser().exists())]
    rest = [word for word in arguments if word not in named]
    sources = [*named, *(word for word in rest if word.startswith("source="))]
    if len(sources) > 1:
        more = ", ..." if len(sources) > 3 else ""
        raise UserError(
            f"mfer predict takes one source, but {len(sources)} are given ({', '.join(sources[:3])}{more}). Give a "
            "folder, or quote a pattern so that the shell does not expand it: mfer predict 'photos/*.jpg'"
        )
    return [f"source={quoted(named[0])}", *rest] if named else rest


def _predict(config: dict[str, Any]) -> None:
    with importing_torch():
        from mfer_lightning.inference.predict.run import predict

    video = config.pop("video")
    predict(**config, **video)
