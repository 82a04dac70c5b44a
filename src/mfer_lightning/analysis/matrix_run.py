"""``mfer evaluate checkpoint=[...] datasets=[...]``: evaluate several models on several datasets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from mfer_lightning.analysis.matrix import Matrix
from mfer_lightning.analysis.transfer_matrix import Dataset, measure_matrix
from mfer_lightning.config.plugins import plugins_loaded
from mfer_lightning.errors import UserError, check_choice
from mfer_lightning.evaluation.runs import is_training
from mfer_lightning.evaluation.schema import SPLITS
from mfer_lightning.inference.predict_split import SplitName
from mfer_lightning.progress import status
from mfer_lightning.reporting.terminal.matrix import print_matrix
from mfer_lightning.views import check_shift

#: Options of ``mfer evaluate`` that apply only to one model on one dataset, with the values that have no effect.
_OF_ONE: Mapping[str, Any] = {"predictions": None, "suite": "standard", "calibrate": False, "lists": {}}


def evaluate_matrix(
    checkpoint: str | PathLike[str] | Sequence[str | PathLike[str]] | None,
    datasets: Sequence[Dataset],
    split: SplitName = "test",
    *,
    output: str | Path | None = None,
    runs: str | Path = "runs",
    plugins: Sequence[str] = (),
    robustness: Mapping[str, Any] | None = None,
    explain: Mapping[str, Any] | None = None,
    **options: Any,
) -> Matrix:
    """Evaluate several models on several datasets; write and print the matrix.

    Args:
        checkpoint: one or several runs, checkpoints or exports.
        datasets: names of datasets, or mappings with a name and options.
        split: ``"test"``, ``"val"`` or ``"train"``.
        output: folder of the matrix; None: ``matrix-<hash>`` in ``runs``, with a hash of models, datasets and split.
        runs: folder of runs.
        plugins: your own packages that the models were trained with; importing them executes their code.
        robustness: options of a suite that does not apply to a matrix; ignored.
        explain: options of a suite that does not apply to a matrix; ignored.
        **options: options of :func:`~mfer_lightning.analysis.transfer_matrix.measure_matrix`.

    Returns:
        The matrix.

    Raises:
        UserError: for illegal options, or if a model or a dataset cannot be opened.
    """
    for name, usual in _OF_ONE.items():
        if options.pop(name, usual) != usual:
            raise UserError(f"{name} cannot be combined with datasets=[...]: it needs one model and one dataset.")
    check_choice("split", split, SPLITS)
    check_shift(options.get("shift"))
    named = [checkpoint] if isinstance(checkpoint, (str, PathLike)) else list(checkpoint or [])
    if not named:
        raise UserError("Name the models to measure on datasets=[...]: checkpoint=[<run>,<run>] or checkpoint=<run>.")
    folder = Path(output or Path(runs) / _name(named, datasets, split)).expanduser()
    if is_training(folder):
        raise UserError(f"output={output} is the folder of a training run. Choose another folder for the matrix.")
    with plugins_loaded(plugins), status("reading datasets") as say:
        matrix = measure_matrix(named, datasets, split, runs=runs, progress=say, **options)
    matrix.write(folder)
    print_matrix(matrix.to_dict(), folder)
    return matrix


def _name(checkpoints: Sequence[str | PathLike[str]], datasets: Sequence[Dataset], split: str) -> str:
    named = [[str(where) for where in checkpoints], list(datasets), split]
    return f"matrix-{hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()[:8]}"
