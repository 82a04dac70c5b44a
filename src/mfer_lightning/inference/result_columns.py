"""Name the columns of the table of predictions of photos."""

from __future__ import annotations

from collections.abc import Sequence

from mfer_lightning.align.templates import LANDMARKS

#: The two numbers of a face beside its emotions.
AFFECT = ("valence", "arousal")

#: The column of answers that the model is not sure enough of, and what is shown in their place.
UNCERTAIN = "uncertain"

#: The columns of a box, and of five landmarks.
BOX = ("x", "y", "box_width", "box_height")
POINTS = tuple(f"{name}_{axis}" for name in LANDMARKS for axis in "xy")


def columns(
    class_names: Sequence[str], *, video: bool = False, valence_arousal: bool = False, uncertain: bool = False
) -> list[str]:
    """Name the columns of :meth:`mfer_lightning.inference.results.Prediction.rows` for a model with these classes.

    Frames and people have columns in videos only, valence and arousal where the model predicts them, uncertain answers
    where there is a threshold for them.
    """
    start = ["path", *(["frame", "time"] if video else []), "face", "status", "label", "probability"]
    start += [UNCERTAIN] if uncertain else []
    emotions = [*(f"p_{name}" for name in class_names), *(AFFECT if valence_arousal else ())]
    people = ["track", *(f"smoothed_{name}" for name in class_names)] if video else []
    end = ("confidence", "residual", "quality", "width", "height", "rotated", "message")
    return [*start, *emotions, *people, *BOX, *POINTS, *end]
