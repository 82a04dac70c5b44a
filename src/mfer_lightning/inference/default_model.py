"""Choose the bundled model where none is named, and say which it is, how accurate and with which limits."""

from __future__ import annotations

from pathlib import Path

from mfer_lightning.bundled.registry import BundledModel, default_model
from mfer_lightning.evaluation.intervals import result_interval

#: What the line ends with.
LIMITS = (
    "It names the expression that observers would name, not what a person feels; not for decisions about people "
    "(docs/bundled_models.md)"
)


def use_default_model() -> Path:
    """Return the folder of the bundled model that is used where none is named, and print one line about it.

    Raises:
        UserError: where this installation has none, or it is damaged.
    """
    model = default_model()
    folder = model.checked()
    print(f"Model: {in_one_line(model)}.", flush=True)
    return folder


def in_one_line(model: BundledModel) -> str:
    """Say which model it is, its accuracy with the 95% interval and on which faces, and its limits."""
    description = model.description()
    words = f"{model.full_name}, bundled with mfer_lightning"
    results = description.get("results") or []
    if results:
        first = results[0]
        ends = result_interval(first, "accuracy")
        interval = f" ({ends[0]:.1%} to {ends[1]:.1%})" if ends else ""
        words += (
            f": accuracy {first['metrics']['accuracy']:.1%}{interval} on {first['n']:,} faces of "
            f"{first['protocol']}, {first['split']}"
        )
    return f"{words}. {LIMITS}"
