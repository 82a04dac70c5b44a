"""List the names that runs log, for the loggers, the dashboard and ``docs/tracking.md``.

A dashboard that asks for a name nobody logs is an empty chart, and W&B says nothing; so names are written here once,
and a test compares this list with what a real run leaves.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: The axis of all curves: epochs, counted from 0 as in ``metrics.csv``.
EPOCH = "epoch"

#: Curves that every run logs, one value per epoch. Further loss terms of a run are logged as ``train/<term>``.
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
#: Curve of the feature loss; absent with ``loss=ce`` and its like.
FEATURE_LOSS = "train/feature"

#: Of ``metrics.csv``, what no logger gets before the run has ended: nobody may choose an epoch by it.
HIDDEN_PREFIX = "track_test/"

#: Figures of a finished run beside those of its splits.
SELECTION_VALUE = "selection/value"
SELECTION_EPOCH = "selection/epoch"
COST_PREFIX = "cost/"
FACES = "faces"  # how many the reported figures were measured on

#: Before the names of the selected checkpoint's figures on val, where a curve of that name has no summary of its own.
SELECTED_PREFIX = "selected/"

#: Media of a finished run.
EXAMPLE_GRID = "examples/grid"
EXAMPLE_TABLE = "examples/table"
FIGURE_PREFIX = "figures/"
#: Figures that every run draws.
FIGURES = ("learning_curves", "confusion", "per_class", "reliability")
EMBEDDING = "embedding"  # not with evaluation.embedding_points=0

#: Figures in the table of figures.
TABLE_METRICS = ("accuracy", "mean_class_accuracy", "macro_f1", "nll", "ece")

#: What stands in a run's configuration at W&B beside the composed configuration itself.
PROTOCOL = "protocol"
SPLIT = "split"  # which the reported figures were measured on; known when the run has ended
SETTING = "setting"  # everything but the seed, in short: runs that share it differ in their seed alone
FACTS = (PROTOCOL, SETTING, "data_hash", "git_commit", "git_dirty", "parameters", "gflops", "class_names")

#: Columns of the table of figures, which has one row per run.
FIGURE_COLUMNS = ("setting", "loss", "backbone", "attention", "seed", *TABLE_METRICS)
#: Columns of the table of classes.
CLASS_COLUMNS = ("class", "n", "precision", "recall", "f1", "setting", "loss", "backbone", "seed")
#: Columns of the table of examples; a probability a class follows.
EXAMPLE_COLUMNS = ("face", "kind", "true", "predicted", "confidence", "path")


def figure(split: str, metric: str) -> str:
    """Name a figure of the selected checkpoint.

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
    """Name the table of figures: one row per run, joined over runs by the dashboard's charts."""
    return f"{split}/figures"


def class_table(split: str) -> str:
    """Name the table of classes."""
    return f"{split}/per_class"


def confusion(split: str) -> str:
    """Name the confusion matrix: a chart under this name, its table under the name with ``_table``."""
    return f"{split}/confusion"


def picture(stem: str) -> str:
    """Name a figure of the run's folder.

    Example:
        >>> picture("confusion")
        'figures/confusion'
    """
    return f"{FIGURE_PREFIX}{stem}"


def run_group(config: Mapping[str, Any], run_dir: Path) -> str | None:
    """Name the folder that a run shares with others of its sweep; a single run in the folder of runs has no group."""
    runs = Path(config["paths"]["runs"]).expanduser().resolve()
    folder = run_dir.resolve().parent
    return None if folder == runs or folder.name == runs.name else folder.name
