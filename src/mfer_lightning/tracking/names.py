"""The names that runs log, for the loggers, the dashboard and ``docs/tracking.md``.

W&B silently shows an empty chart for a name that is never logged. Therefore names are defined once, here, and a test
compares this list with a real run.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: The axis of all curves: epochs, counted from 0 as in ``metrics.csv``.
EPOCH = "epoch"

#: Curves that every run logs, one value per epoch; ``val/...`` only if the protocol has a validation set. Further loss
#: terms of a run are logged as ``train/<term>``.
CURVES = (
    "train/loss",
    "train/classification",
    "val/accuracy",
    "val/mean_class_accuracy",
    "val/macro_f1",
    "val/nll",
    "val/loss",
    "lr",
    "seconds",
    "images_per_second",
)
#: Curve of the feature loss; absent for losses without one, such as ``loss=ce``.
FEATURE_LOSS = "train/feature"

#: Columns of ``metrics.csv`` withheld from loggers until the run has ended, so that they cannot influence it.
HIDDEN_PREFIX = "track_test/"

#: Values of a finished run besides the metrics of its splits.
SELECTION_VALUE = "selection/value"
SELECTION_EPOCH = "selection/epoch"
COST_PREFIX = "cost/"
FACES = "faces"  # number of faces of the reported results

#: Prefix for the selected checkpoint's metrics on val in services where a curve of that name has no separate summary.
SELECTED_PREFIX = "selected/"

#: Media of a finished run.
EXAMPLE_GRID = "examples/grid"
EXAMPLE_TABLE = "examples/table"
FIGURE_PREFIX = "figures/"
#: Figures that every run draws.
FIGURES = ("learning_curves", "confusion", "per_class", "reliability")
EMBEDDING = "embedding"  # absent with evaluation.embedding_points=0

#: Metrics in the table that :func:`figure_table` names.
TABLE_METRICS = ("accuracy", "mean_class_accuracy", "macro_f1", "nll", "ece")

#: Entries of a run's configuration in W&B besides the composed configuration.
PROTOCOL = "protocol"
SPLIT = "split"  # split of the reported results, known when the run has ended
SETTING = "setting"  # short name of the configuration without the seed, equal for runs that differ only in it
FACTS = (PROTOCOL, SETTING, "data_hash", "git_commit", "git_dirty", "parameters", "gflops", "class_names")

#: Columns of the table of metrics, which has one row per run.
FIGURE_COLUMNS = ("setting", "loss", "backbone", "attention", "seed", *TABLE_METRICS)
#: Columns of the table of classes.
CLASS_COLUMNS = ("class", "n", "precision", "recall", "f1", "setting", "loss", "backbone", "seed")
#: Columns of the table of examples, followed by one probability per class.
EXAMPLE_COLUMNS = ("face", "kind", "true", "predicted", "confidence", "path")


def figure(split: str, metric: str) -> str:
    """Name a metric of the selected checkpoint.

    Example:
        >>> figure("test", "accuracy")
        'test/accuracy'
    """
    return f"{split}/{metric}"


def recall(split: str, class_name: str) -> str:
    """Name the recall of a class.

    Example:
        >>> recall("test", "fear")
        'test/recall/fear'
    """
    return f"{split}/recall/{class_name}"


def figure_table(split: str) -> str:
    """Name the table of metrics: one row per run, joined over runs by the dashboard's charts."""
    return f"{split}/figures"


def class_table(split: str) -> str:
    """Name the table of classes."""
    return f"{split}/per_class"


def confusion(split: str) -> str:
    """Name the chart of the confusion matrix; the name of its table has ``_table`` appended."""
    return f"{split}/confusion"


def picture(stem: str) -> str:
    """Name a figure of the run's folder.

    Example:
        >>> picture("confusion")
        'figures/confusion'
    """
    return f"{FIGURE_PREFIX}{stem}"


def run_group(config: Mapping[str, Any], run_dir: Path) -> str | None:
    """Return the group of a run: the name of its sweep's folder, or None for a single run."""
    runs = Path(config["paths"]["runs"]).expanduser().resolve()
    folder = run_dir.resolve().parent
    return None if folder == runs or folder.name == runs.name else folder.name
