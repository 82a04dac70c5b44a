"""``mfer evaluate``: evaluate a trained model, or a table of its predictions, on any dataset and split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mfer_lightning.config.combinations import run_each
from mfer_lightning.errors import UserError


def main(arguments: Sequence[str]) -> int:
    """Run ``mfer evaluate``.

    Args:
        arguments: the command-line arguments after ``evaluate``.

    Returns:
        Exit code: 0, or 1 if any of several evaluations, or any model-dataset pair of a matrix, failed.
    """
    rest, options = split_dataset_options(arguments)
    return run_each("evaluate", _evaluate, rest, options)


def _evaluate(config: dict[str, Any], options: Sequence[str]) -> int | None:
    if config["datasets"]:
        return _matrix(config, options)
    if isinstance(config["checkpoint"], list):
        raise UserError(
            "checkpoint is a list of models: give the datasets to evaluate them on, e.g. datasets=[ferplus,facs], or "
            "evaluate the models one after the other (mfer evaluate -m checkpoint=a,b)."
        )
    from mfer_lightning.analysis.run import evaluate

    config.pop("datasets")
    further = {**config.pop("paths"), **config.pop("evaluation")}
    evaluate(**config, **further, dataset_options=options)
    return None


def _matrix(config: dict[str, Any], options: Sequence[str]) -> int:
    """Evaluate several models on several datasets. Exit code 1 if a pair could not be evaluated."""
    from mfer_lightning.analysis.matrix_run import evaluate_matrix

    given = {"dataset": config.pop("dataset_name"), **{option.partition("=")[0]: True for option in options}}
    for name, value in given.items():
        if value is not None:
            raise UserError(
                f"{name} cannot be combined with datasets=[...]: give each dataset there, with its options."
            )
    further = {**config.pop("paths"), **config.pop("evaluation")}
    return int(bool(evaluate_matrix(**config, **further).failed))


def split_dataset_options(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Separate the options of the dataset (``dataset.<option>=...``) from a command line.

    Which options are legal depends on the dataset, which may be known only from the checkpoint, so they are composed
    later. ``dataset=<name>`` becomes ``dataset_name=<name>``: Hydra would read it as a choice of ``conf/dataset``,
    whose files also set a backbone and other options for training.

    Returns:
        The other arguments, and the options of the dataset.

    Example:
        >>> split_dataset_options(["checkpoint=runs/a", "dataset=rafdb", "dataset.protocol=paper"])
        (['checkpoint=runs/a', 'dataset_name=rafdb'], ['dataset.protocol=paper'])
    """
    rest = [f"dataset_name={a[8:]}" if a.startswith("dataset=") else a for a in arguments]
    return [a for a in rest if not a.startswith("dataset.")], [a for a in rest if a.startswith("dataset.")]
