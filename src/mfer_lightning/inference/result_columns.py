"""Name the columns of the table of predictions."""

from __future__ import annotations

from collections.abc import Sequence

from mfer_lightning.align.templates import LANDMARKS

#: Columns of valence and arousal.
AFFECT = ("valence", "arousal")

#: Column that marks uncertain predictions, and the text shown for them.
UNCERTAIN = "uncertain"

#: Columns of the box and the five landmarks.
BOX = ("x", "y", "box_width", "box_height")
POINTS = tuple(f"{name}_{axis}" for name in LANDMARKS for axis in "xy")


def columns(
    class_names: Sequence[str], *, video: bool = False, valence_arousal: bool = False, uncertain: bool = False
) -> list[str]:
    """Name the columns of :meth:`mfer_lightning.inference.results.Prediction.rows` for a model with these classes.

    There are columns for frames and people only in videos, for valence and arousal only if the model predicts them, and
    for uncertain predictions only with a threshold.
    """
    start = ["path", *(["frame", "time"] if video else []), "face", "status", "label", "probability"]
    start += [UNCERTAIN] if uncertain else []
    emotions = [*(f"p_{name}" for name in class_names), *(AFFECT if valence_arousal else ())]
    people = ["track", *(f"smoothed_{name}" for name in class_names)] if video else []
    end = ("confidence", "residual", "quality", "width", "height", "rotated", "message")
    return [*start, *emotions, *people, *BOX, *POINTS, *end]
