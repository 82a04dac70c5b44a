"""Name the folder of an evaluation's results, so that different evaluations have different folders."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from mfer_lightning.analysis.model_on_split import ModelOnSplit
from mfer_lightning.data.datasets.registry import dataset_info
from mfer_lightning.inference.checkpoint import run_folder


def results_folder(subject: ModelOnSplit, runs: str | Path = "runs", suffix: str = "") -> Path:
    """Return the default folder of an evaluation's results, the same for equal evaluations.

    Args:
        subject: the model and the faces.
        runs: folder for the results of checkpoints that belong to no run.
        suffix: added to the folder's name.
    """
    source = subject.model.source
    assert source is not None  # results of a model in memory are written only to an explicit folder
    run = run_folder(source)
    # the protocol contains the names of dropped classes, which come from files and must not lead out of the folder
    name = _as_file_name(f"{subject.protocol}-{subject.split}")
    if dataset_info(subject.datamodule.dataset).user_defined:  # keep the results of different folders apart
        name += f"-{subject.datamodule.data_hash[:8]}"
    if run is None:
        parent = Path(runs).expanduser() / f"evaluate-{source.stem}"
    else:
        parent, name = run, name if source.stem == "best" else f"{source.stem}-{name}"
    mark = f"-{_as_file_name(subject.options)}" if subject.options else ""
    rounded = "" if subject.model.precision == "32-true" else f"-{subject.model.precision}"
    return parent / "evaluations" / f"{name}{mark}{subject.views.mark}{rounded}{suffix}"


def _as_file_name(text: str) -> str:
    """Replace characters that are unusual in file names, and a long text by its hash."""
    plain = re.sub(r"[^\w.=@-]+", "-", text)
    return plain if len(plain) <= 80 else hashlib.sha256(text.encode()).hexdigest()[:8]
