"""``mfer evaluate``: measure a trained model, or a table of its predictions, on any dataset and split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mfer_lightning.analysis import explain_suite, robustness_suite
from mfer_lightning.analysis.face_lists import read_lists
from mfer_lightning.analysis.model_on_split import open_model_on_split, results_folder
from mfer_lightning.analysis.prediction_table import evaluate_predictions
from mfer_lightning.analysis.standard_suite import evaluate_model
from mfer_lightning.errors import UserError, check_choice
from mfer_lightning.evaluation.runs import is_training
from mfer_lightning.evaluation.schema import SPLITS
from mfer_lightning.views import check_shift

SUITES = ("standard", "robustness", "explain")


def evaluate(
    checkpoint: str | Path | None = None,
    predictions: str | Path | None = None,
    *,
    suite: str = "standard",
    output: str | Path | None = None,
    drop: Sequence[str] = (),
    calibrate: bool = False,
    lists: Mapping[str, Any] | None = None,
    embedding_points: int = 1500,
    robustness: Mapping[str, Any] | None = None,
    explain: Mapping[str, Any] | None = None,
    runs: str | Path = "runs",
    **opening: Any,
) -> Path:
    """Evaluate a checkpoint, or a table of predictions without a model.

    Args:
        checkpoint: a run's folder, a checkpoint or an export.
        predictions: instead of it, a ``predictions_*.csv``.
        suite: ``"standard"`` (every metric), ``"robustness"`` (under changes) or ``"explain"`` (Grad-CAM).
        output: folder of the results; None: ``evaluations/`` in the run's folder.
        drop: classes to leave out.
        calibrate: fit one temperature on val and report calibration before and after.
        lists: name -> file of file names, subsets to measure.
        embedding_points: faces in the t-SNE figure.
        robustness: options of :func:`~mfer_lightning.analysis.robustness_suite.evaluate_robustness`.
        explain: options of the explain suite, see :class:`~mfer_lightning.analysis.explain_suite.Options`.
        runs: folder for the results of checkpoints that belong to no run.
        **opening: ``split``, ``dataset_name``, ``flip``, ... of
            :func:`~mfer_lightning.analysis.model_on_split.open_model_on_split`.

    Returns:
        The folder of the results.

    Raises:
        UserError: for illegal options, or where the model or the data cannot be used.
    """
    if checkpoint is not None and predictions is not None:
        raise UserError("Give one of the two, checkpoint=... or predictions=...: a model or a table is evaluated.")
    if checkpoint is None and predictions is None:
        raise UserError(
            "Say what to evaluate: checkpoint=<a run's folder or a .ckpt file>, or predictions=<predictions_*.csv>."
        )
    check_choice("split", opening.get("split", "test"), SPLITS)
    check_choice("suite", suite, SUITES)
    if lists and suite == "explain":
        raise UserError(f"lists.{next(iter(lists))} has no meaning for suite={suite}: leave one of them out.")
    check_shift(opening.get("shift"))
    if calibrate and suite != "standard":
        raise UserError(f"calibrate=true belongs to suite=standard, not to suite={suite}.")
    if predictions is not None:
        usual = {"dataset_name": None, "flip": None, "shift": None, "suite": "standard", "split": "test"}
        given = {**usual, "suite": suite, **opening}
        changed = [f"{name.removesuffix('_name')}={given[name]}" for name in usual if given[name] != usual[name]]
        for option in (*changed, *opening.get("dataset_options", ())):
            raise UserError(f"{option} needs a model: give checkpoint=..., not predictions=...")
    folder = None if output is None else Path(output).expanduser()
    if folder is not None and is_training(folder):
        raise UserError(
            f"output={output} is a run's own folder, whose results would be overwritten: choose another, or "
            "leave output out, and they go into the run's evaluations/."
        )
    names = read_lists(lists or {})
    if predictions is not None:
        return evaluate_predictions(predictions, folder, lists=names, drop=drop, calibrate=calibrate)
    assert checkpoint is not None
    explained = explain_suite.Options(**(explain or {}))
    if suite == "robustness":
        robustness_suite.check_options({"limit": None, "kinds": None, "border": "black", **(robustness or {})})
    elif suite == "explain":
        explained.check()
    subject = open_model_on_split(checkpoint, drop=drop, **opening)
    folder = folder or results_folder(subject, runs, "" if suite == "standard" else f"-{suite}")
    if suite == "robustness":
        robustness_suite.evaluate_robustness(subject, folder, lists=names, **(robustness or {}))
    elif suite == "explain":
        explain_suite.explain_model(subject, folder, explained)
    else:
        evaluate_model(subject, folder, lists=names, calibrate=calibrate, embedding_points=embedding_points)
    return folder
