"""``mfer evaluate``: evaluate a trained model on any dataset and split, or evaluate a table of predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from mfer_lightning.analysis import explain_suite, robustness_suite
from mfer_lightning.analysis.evaluated import Evaluated
from mfer_lightning.analysis.face_lists import read_lists
from mfer_lightning.analysis.live_module import InMemory, as_model
from mfer_lightning.analysis.model_on_split import open_model_on_split
from mfer_lightning.analysis.prediction_table import evaluate_predictions
from mfer_lightning.analysis.results_folder import results_folder
from mfer_lightning.analysis.standard_suite import evaluate_model
from mfer_lightning.config.plugins import plugins_loaded
from mfer_lightning.data.datasets import FaceDataModule
from mfer_lightning.data.workers import killed_worker_explained
from mfer_lightning.errors import UserError, check_choice
from mfer_lightning.evaluation.runs import is_training
from mfer_lightning.evaluation.schema import SPLITS
from mfer_lightning.inference.model import FERModel
from mfer_lightning.inference.predict_split import SplitName
from mfer_lightning.views import check_shift

SUITES = ("standard", "robustness", "explain")


def evaluate(
    checkpoint: str | PathLike[str] | InMemory | None = None,
    datamodule: FaceDataModule | None = None,
    split: SplitName = "test",
    *,
    predictions: str | Path | None = None,
    suite: str = "standard",
    output: str | Path | None = None,
    drop: Sequence[str] = (),
    calibrate: bool = False,
    lists: Mapping[str, Any] | None = None,
    embedding_points: int = 1500,
    robustness: Mapping[str, Any] | None = None,
    explain: Mapping[str, Any] | None = None,
    runs: str | Path = "runs",
    device: str = "auto",
    plugins: Sequence[str] = (),
    **opening: Any,
) -> Evaluated:
    """Evaluate a trained model, or a table of predictions without a model.

    Args:
        checkpoint: a run, its folder, a checkpoint or an export, for which the results are written and printed. Or a
            :class:`~mfer_lightning.module.FERModule` or a loaded model in memory, for which the results are written and
            printed only if ``output`` is given.
        datamodule: the dataset; None: ``dataset_name``, or the one that the model was trained on.
        split: ``"test"``, ``"val"`` or ``"train"``.
        predictions: a ``predictions_*.csv`` instead of a model.
        suite: ``"standard"`` (every metric), ``"robustness"`` (image corruptions) or ``"explain"`` (Grad-CAM).
        output: folder of the results; None: ``evaluations/`` in the run's folder, a folder next to ``predictions``, or
            nowhere (see ``checkpoint``).
        drop: classes to leave out.
        calibrate: fit one temperature on val and report calibration before and after.
        lists: subsets to measure: name -> text or csv file that lists file names.
        embedding_points: number of faces in the t-SNE figure; 0: no figure.
        robustness: options of :func:`~mfer_lightning.analysis.robustness_suite.evaluate_robustness`.
        explain: options of the explain suite, see :class:`~mfer_lightning.analysis.explain_suite.Options`.
        runs: folder for the results of checkpoints that belong to no run.
        device: ``"auto"``, or a torch device.
        plugins: your own packages that define parts of the model; importing them executes their code.
        **opening: ``dataset_name``, ``flip``, ``loader``, ``precision``, ``compile``, ... of
            :func:`~mfer_lightning.analysis.model_on_split.open_model_on_split`.

    Returns:
        The result: a mapping with ``metrics``, ``intervals``, ``per_class``, ...; ``.predictions`` is the table.

    Raises:
        UserError: for illegal options, if the model or the data cannot be used, or if a loader worker was killed.
    """
    if checkpoint is not None and predictions is not None:
        raise UserError("Give either checkpoint=... or predictions=..., not both.")
    if checkpoint is None and predictions is None:
        raise UserError(
            "Nothing to evaluate: give checkpoint=<a run's folder or a .ckpt file>, or predictions=<predictions_*.csv>."
        )
    check_choice("split", split, SPLITS)
    check_choice("suite", suite, SUITES)
    if lists and suite == "explain":
        raise UserError(f"lists.{next(iter(lists))} does not apply to suite={suite}: remove one of them.")
    check_shift(opening.get("shift"))
    if calibrate and suite != "standard":
        raise UserError(f"calibrate=true works only with suite=standard, not with suite={suite}.")
    rounded = None if opening.get("precision") in (None, "32-true") else opening["precision"]
    if rounded is not None and suite == "explain":
        raise UserError(f"precision={rounded}: suite=explain computes gradients in float32. Leave out precision.")
    if predictions is not None:
        usual = {"dataset_name": None, "flip": None, "shift": None, "suite": "standard", "split": "test"}
        usual["precision"] = None
        given = {**usual, "suite": suite, "split": split, **opening, "precision": rounded}
        changed = [f"{name.removesuffix('_name')}={given[name]}" for name in usual if given[name] != usual[name]]
        for option in (*changed, *opening.get("dataset_options", ())):
            raise UserError(f"{option} needs a model: give checkpoint=..., not predictions=...")
    folder = None if output is None else Path(output).expanduser()
    if folder is not None and is_training(folder):
        raise UserError(
            f"output={output} is the folder of a training run, whose results would be overwritten. Choose another "
            "folder, or leave out output to write to evaluations/ in the folder of the run."
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
    if suite == "explain":
        opening["compile"] = False  # hooks and gradients need the uncompiled network
    with killed_worker_explained(), plugins_loaded(plugins), as_model(checkpoint, device) as model:
        subject = open_model_on_split(model, split, datamodule=datamodule, drop=drop, device=device, **opening)
        if folder is None and not isinstance(model, FERModel):
            folder = results_folder(subject, runs, "" if suite == "standard" else f"-{suite}")
        if suite == "standard":
            further: dict[str, Any] = {"calibrate": calibrate, "embedding_points": embedding_points}
            return evaluate_model(subject, folder, lists=names, **further)
        if folder is None:
            raise UserError(f"suite={suite} draws figures, so a model in memory needs output=<folder>.")
        if suite == "robustness":
            card = robustness_suite.evaluate_robustness(subject, folder, lists=names, **(robustness or {}))
        else:
            card = explain_suite.explain_model(subject, folder, explained)
    return Evaluated(card, folder)
