"""``mfer evaluate``: a trained model, or a table of its predictions, measured on any dataset and split."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from mfer_lightning.commands.faces import split_dataset_options
from mfer_lightning.commands.launch import run_verb
from mfer_lightning.config.schema_evaluate import Evaluate
from mfer_lightning.errors import UserError, nearest

SPLITS = ("test", "val", "train")


def main(arguments: Sequence[str]) -> int:
    """Run ``mfer evaluate``.

    Args:
        arguments: the command line after the verb.

    Returns:
        Exit code: 0, or 1 where one of several evaluations failed.
    """
    rest, options = split_dataset_options(arguments)
    return run_verb("evaluate", Evaluate, partial(_evaluate, options=options), rest)


def _evaluate(config: dict[str, Any], options: Sequence[str]) -> int:
    _check(config)
    if config["predictions"] is not None:
        from mfer_lightning.commands.reevaluate import evaluate_predictions

        evaluate_predictions(config)
    else:
        from mfer_lightning.commands.measure import evaluate_checkpoint

        evaluate_checkpoint(config, options)
    return 0


def _check(config: dict[str, Any]) -> None:
    if (config["checkpoint"] is None) == (config["predictions"] is None):
        raise UserError(
            "Say what to evaluate: checkpoint=<a run's folder or a .ckpt file>, or predictions=<predictions_*.csv>."
        )
    if config["split"] not in SPLITS:
        raise UserError(f"split={config['split']}: {nearest(config['split'], SPLITS)}")
    if config["predictions"] is not None:
        for option, untouched in (("calibrate", False), ("dataset_name", None)):
            if config[option] != untouched:
                name = option.partition("_")[0]
                raise UserError(f"{name}={config[option]} needs a model: give checkpoint=..., not predictions=...")
