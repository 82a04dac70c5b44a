"""Save the data behind a report in a small archive for version control: no images, weights or machine paths."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.machine_paths import PathRemover, is_absolute, private_folder
from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.evaluation.round_logits import round_predictions
from mfer_lightning.evaluation.runs import METRICS, RESULT, LeftOut, StoredResult, find_results
from mfer_lightning.evaluation.study_archive import ARCHIVE, ArchivedRun, read_archive, write_archive


@dataclass(frozen=True)
class Kept:
    """Outcome of archiving the runs of a study.

    Args:
        written: names of runs that are new or changed.
        unchanged: runs that are already in the archive.
        left_out: folders of the study that were not archived, and why.
        size: size of the archive in bytes.
    """

    written: tuple[str, ...]
    unchanged: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    size: int


def keep_study(places: Sequence[str | Path], into: str | Path) -> Kept:
    """Save the numbers of every finished run in one archive, ``<into>/runs.npz``.

    A repeated call replaces changed runs and adds new runs. Archived runs whose folders no longer exist stay in the
    archive.

    Args:
        places: runs, sweeps, folders of them, or archives.
        into: folder for the archive; created if it is missing.

    Returns:
        The outcome; unfinished, failed and inconsistent runs are left out and listed.

    Raises:
        UserError: if nothing can be archived, two runs would get the same name, a file of a run contains the path of a
            personal folder, an existing archive cannot be read, or the archive folder is inside the runs or vice versa.
    """
    check_place(places, into)
    archive = Path(into).expanduser() / ARCHIVE
    found = find_results(places)
    left_out = list(found.left_out)
    origin: dict[str, Path] = {}
    runs: dict[str, ArchivedRun] = {}
    for stored in found.results:
        name = _name(stored.folder, places)
        if name in origin:
            raise UserError(
                f"{origin[name]} and {stored.folder} would both be kept as {name}. Keep them separately, "
                "in two folders."
            )
        origin[name] = stored.folder
        try:
            runs[name] = _kept(stored, name)
        except ValueError as error:
            left_out.append(LeftOut(stored.folder, str(error)))
    if not runs:
        reasons = "; ".join(f"{item.folder.name} {item.reason}" for item in left_out[:3])
        raise UserError(f"{', '.join(map(str, places))}: no finished run to keep. {reasons}.")
    before = {run.name: run for run in read_archive(archive)} if archive.exists() else {}
    written = [name for name, run in runs.items() if name not in before or not run.equals(before[name])]
    if written:
        write_archive(archive, list({**before, **runs}.values()))
    unchanged = tuple(name for name in runs if name not in written)
    return Kept(tuple(written), unchanged, tuple(left_out), archive.stat().st_size)


def check_place(places: Sequence[str | Path], into: str | Path) -> None:
    """Reject an archive folder that is inside the runs, because the next report would count the runs twice.

    Raises:
        UserError: if the folder is inside one of the study's folders, contains one of them, or is a file.
    """
    folder = Path(into).expanduser().resolve()
    for name in places:
        place = Path(name).expanduser().resolve()
        if folder.is_relative_to(place) or place.is_relative_to(folder):
            raise UserError(f"keep={into} and the runs {name} must not be inside one another. Choose another folder.")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"keep={into} is a file. Choose a folder.")


def _name(folder: Path, places: Sequence[str | Path]) -> str:
    """Return the name of a run: its path relative to the given place, or its own name if the place is the run."""
    for name in places:
        place = Path(name).expanduser()
        root = place.parent if place.is_file() else place
        if folder.is_relative_to(root):
            above = Path(root.resolve().name) if (root / RESULT).is_file() else Path()
            return (above / folder.relative_to(root)).as_posix()
    return folder.name


def _kept(stored: StoredResult, name: str) -> ArchivedRun:
    """Return the archived part of a run: result with configuration, curves, and predictions of the reported split.

    Raises:
        ValueError: the reason it cannot be archived, phrased to follow the folder's name.
        UserError: if it contains the path of a personal folder.
    """
    paths = PathRemover(stored.config)
    table = _table(stored, paths)
    result: dict[str, Any] = paths.remove(stored.result)
    result.pop("files", None)  # the archived table is rounded, and the archive has its own checksums
    if isinstance(result["git"], Mapping):
        result["git"] = {**result["git"], "patch": None}  # the patch is not archived
    if isinstance(result.get("model"), Mapping):  # only evaluations have this entry
        result["model"] = {**result["model"], "checkpoint": Path(str(result["model"].get("checkpoint", ""))).name}
    try:
        texts = {RESULT: json.dumps(result, ensure_ascii=False, allow_nan=False)}
    except ValueError as error:
        raise ValueError(f"has a result.json that is not JSON ({error})") from error
    metrics = _metrics(stored) if stored.trained else None
    texts |= {METRICS: metrics or "", "table of predictions": "\n".join(table.path.tolist())}
    for part, text in texts.items():
        folder = private_folder(text)
        if folder is not None:
            raise UserError(
                f"Nothing was kept: the {part} of {stored.folder} contains the personal folder {folder}, but "
                "archives are meant to be published. Change it there, or leave out this run."
            )
    return ArchivedRun(name, json.loads(texts[RESULT]), table, metrics)


def _metrics(stored: StoredResult) -> str:
    if stored.archived is not None:
        return stored.archived.metrics or ""
    try:
        return (stored.folder / METRICS).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"has no readable {METRICS} ({error})") from error


def _table(stored: StoredResult, paths: PathRemover) -> Predictions:
    try:
        table = stored.predictions()
    except UserError as error:
        raise ValueError(f"has predictions that cannot be read ({str(error).rstrip('.')})") from error
    relative = [_relative(path, paths, stored.folder) for path in table.path.tolist()]
    table = replace(table, path=np.asarray(relative, dtype=np.str_))
    # rounding logits twice could lose precision
    return table if stored.kept else round_predictions(table, stored.result["metrics"])


def _relative(path: str, paths: PathRemover, folder: Path) -> str:
    """Return a face's path relative to its dataset's folder."""
    root = paths.root.rstrip("/\\")
    if not is_absolute(path):
        return path
    if root and path.startswith((f"{root}/", f"{root}\\")):
        return path[len(root) + 1 :]
    raise UserError(
        f"Nothing was kept: a table of {folder} contains the face {path}, which is not in the dataset's folder "
        f"({paths.root or 'not recorded'}), but archives are meant to be published. Make the paths in the "
        "column `path` relative to it."
    )
