"""``mfer evaluate``: a trained model, or a table of its predictions, measured on any dataset and split."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mfer_lightning.config.compose import run_verb
from mfer_lightning.errors import UserError, nearest
from mfer_lightning.evaluation.runs import is_training
from mfer_lightning.inference.averaging import check_shift
from mfer_lightning.inference.dataset_choice import each_combination, split_dataset_options

SPLITS = ("test", "val", "train")
SUITES = ("standard", "robustness", "explain")


def main(arguments: Sequence[str]) -> int:
    """Run ``mfer evaluate``.

    Args:
        arguments: the command line after the verb.

    Returns:
        Exit code: 0, or 1 where one of several evaluations failed.
    """
    rest, options = split_dataset_options(arguments)
    several = any(argument in ("-m", "--multirun") for argument in rest)
    codes = [
        run_verb("evaluate", partial(_evaluate, options=chosen), rest) for chosen in each_combination(options, several)
    ]
    return codes[0] if len(codes) == 1 else int(any(codes))


def _evaluate(config: dict[str, Any], options: Sequence[str]) -> int:
    _check(config, options)
    if config["predictions"] is not None:
        from mfer_lightning.analysis.prediction_table import evaluate_predictions

        evaluate_predictions(config)
    elif config["suite"] == "robustness":
        from mfer_lightning.analysis.robustness_suite import evaluate_robustness

        evaluate_robustness(config, options)
    elif config["suite"] == "explain":
        from mfer_lightning.analysis.explain_suite import explain_checkpoint

        explain_checkpoint(config, options)
    else:
        from mfer_lightning.analysis.checkpoint import evaluate_checkpoint

        evaluate_checkpoint(config, options)
    return 0


def _check(config: dict[str, Any], options: Sequence[str]) -> None:
    for option in ("checkpoint", "predictions"):
        if config[option] == "":
            raise UserError(f"{option}= has no value: give one, or leave the option out.")
    if config["checkpoint"] is not None and config["predictions"] is not None:
        raise UserError("Give one of the two, checkpoint=... or predictions=...: a model or a table is evaluated.")
    if config["checkpoint"] is None and config["predictions"] is None:
        raise UserError(
            "Say what to evaluate: checkpoint=<a run's folder or a .ckpt file>, or predictions=<predictions_*.csv>."
        )
    if config["split"] not in SPLITS:
        raise UserError(f"split={config['split']}: {nearest(config['split'], SPLITS)}")
    suite = config["suite"]
    if suite not in SUITES:
        raise UserError(f"suite={suite}: {nearest(suite, SUITES)}")
    if config["lists"] and suite == "explain":
        raise UserError(f"lists.{next(iter(config['lists']))} has no meaning for suite={suite}: leave one of them out.")
    check_shift(config["shift"])
    if config["calibrate"] and suite != "standard":
        raise UserError(f"calibrate=true belongs to suite=standard, not to suite={suite}.")
    if config["predictions"] is not None:
        for option, untouched in (
            ("dataset_name", None),
            ("flip", None),
            ("shift", None),
            ("suite", "standard"),
            ("split", "test"),
        ):
            if config[option] != untouched:
                name = option.removesuffix("_name")
                raise UserError(f"{name}={config[option]} needs a model: give checkpoint=..., not predictions=...")
        if options:
            raise UserError(f"{options[0]} needs a model: give checkpoint=..., not predictions=...")
    if config["output"] is not None and is_training(Path(config["output"]).expanduser()):
        raise UserError(
            f"output={config['output']} is a run's own folder, whose results would be overwritten: choose another, or "
            "leave output out, and they go into the run's evaluations/."
        )
