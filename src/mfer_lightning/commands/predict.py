"""``mfer predict``: the emotions of every face in photos, a video or a camera's pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mfer_lightning.config.compose import run_verb


def main(arguments: Sequence[str]) -> int:
    """Run ``mfer predict``.

    Args:
        arguments: the command line after the verb.

    Returns:
        Exit code: 0 wherever the source exists, whatever its photos hold; what could not be read is reported.
    """
    return run_verb("predict", _predict, arguments)


def _predict(config: dict[str, Any]) -> None:
    from mfer_lightning.inference.predict.run import predict

    video = config.pop("video")
    predict(**config, **video)
