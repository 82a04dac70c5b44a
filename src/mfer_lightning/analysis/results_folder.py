"""Name the folder of an evaluation's results, so that different evaluations have different folders."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from mfer_lightning.analysis.model_on_split import ModelOnSplit
from mfer_lightning.data.datasets.registry import dataset_info
from mfer_lightning.inference.checkpoint import run_folder

#: Maximum bytes of a text in a folder's name. The whole name has several parts, and file systems allow 255 bytes.
_LONGEST = 80


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
    # a space before `name=` separates two options; any other space is part of a value
    options = re.sub(r" (?=\w+=)", "-", subject.options)
    mark = f"-{_as_file_name(options)}" if options else ""
    rounded = "" if subject.model.precision == "32-true" else f"-{subject.model.precision}"
    return parent / "evaluations" / f"{name}{mark}{subject.views.mark}{rounded}{suffix}"


def _as_file_name(text: str) -> str:
    """Replace characters that are unusual in file names, and shorten a long text.

    A text that is changed gets a hash at its end, so that different texts have different names.
    """
    plain = re.sub(r"[^\w.=@-]+", "-", text)
    if plain == text and len(plain.encode()) <= _LONGEST:
        return plain
    mark = f"-{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()[:8]}"
    return plain.encode()[: _LONGEST - len(mark)].decode(errors="ignore") + mark  # cut between two characters
