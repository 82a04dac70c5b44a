"""Choose the default bundled model, and print its name, accuracy and limits."""

from __future__ import annotations

from pathlib import Path

from mfer_lightning.bundled.registry import BundledModel, default_model
from mfer_lightning.evaluation.intervals import result_interval
from mfer_lightning.plurals import counted

#: Limits of the bundled models, printed after the accuracy.
LIMITS = (
    "It names the expression that observers would see, not what a person feels. Do not use it for decisions about "
    "people (docs/bundled_models.md)"
)


def use_default_model() -> Path:
    """Return the folder of the default bundled model, and print one line about it.

    Raises:
        UserError: if this installation has none, or it is damaged.
    """
    model = default_model()
    folder = model.checked()
    print(f"Model: {in_one_line(model)}.", flush=True)
    return folder


def in_one_line(model: BundledModel) -> str:
    """Format the model's name, its accuracy with the 95% interval and test set, and its limits."""
    words, result = f"{model.full_name}, bundled with mfer_lightning", model.result()
    if result:
        ends = result_interval(result, "accuracy")
        interval = f" ({ends[0]:.1%} to {ends[1]:.1%})" if ends else ""
        words += (
            f": accuracy {result['metrics']['accuracy']:.1%}{interval} on {counted(result['n'], 'face')} of "
            f"{result['protocol']}, {result['split']}"
        )
    return f"{words}. {LIMITS}"
