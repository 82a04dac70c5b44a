"""``mfer evaluate``: measure a trained model, or a table of its predictions, on any dataset and split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mfer_lightning.config.combinations import run_each


def main(arguments: Sequence[str]) -> int:
    """Run ``mfer evaluate``.

    Args:
        arguments: the command line after the verb.

    Returns:
        Exit code: 0, or 1 where one of several evaluations failed.
    """
    rest, options = split_dataset_options(arguments)
    return run_each("evaluate", _evaluate, rest, options)


def _evaluate(config: dict[str, Any], options: Sequence[str]) -> None:
    from mfer_lightning.analysis.run import evaluate

    further = {**config.pop("paths"), **config.pop("evaluation")}
    evaluate(**config, **further, dataset_options=options)


def split_dataset_options(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Take the options of the dataset (``dataset.<option>=...``) out of a command line.

    Which options are legal depends on the dataset, which may be named only in the checkpoint: so they are composed
    later. ``dataset=<name>`` becomes ``dataset_name=<name>``: Hydra would read it as the choice of a group, whose
    files also choose a backbone and more, for training.

    Example:
        >>> split_dataset_options(["checkpoint=runs/a", "dataset=rafdb", "dataset.protocol=paper"])
        (['checkpoint=runs/a', 'dataset_name=rafdb'], ['dataset.protocol=paper'])
    """
    rest = [f"dataset_name={a[8:]}" if a.startswith("dataset=") else a for a in arguments]
    return [a for a in rest if not a.startswith("dataset.")], [a for a in rest if a.startswith("dataset.")]
