"""A study's numbers, small enough for version control: of each run what a report is made of, no images, no weights."""

from __future__ import annotations

import json
import lzma
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.packed import PACKED, open_table, pack, table_of
from mfer_lightning.evaluation.places import Places, is_absolute, private_place
from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.evaluation.predictions_csv import predictions_text
from mfer_lightning.evaluation.runs import (
    CONFIG,
    RESULT,
    LeftOut,
    find_results,
    is_training,
    predictions_of,
    read_result,
)
from mfer_lightning.evaluation.shortened import shorten
from mfer_lightning.files import atomic_path, make_folder, remove_leftovers

METRICS = "metrics.csv"
#: What only a run's own folder holds; folders of other names may lie in a kept one: evaluations, a report.
_OF_A_RUN = ("checkpoints", "figures")

#: Name of a file -> its content, a table of predictions not yet compressed.
Files = Mapping[str, str]


@dataclass(frozen=True)
class Kept:
    """What became of a study's runs.

    Args:
        written: folders of kept runs that are new or changed.
        unchanged: those that held the same already.
        left_out: folders of the study that were not kept, and why.
        size: bytes of all kept files together.
    """

    written: tuple[Path, ...]
    unchanged: tuple[Path, ...]
    left_out: tuple[LeftOut, ...]
    size: int


def keep_study(folders: Sequence[str | Path], into: str | Path) -> Kept:
    """Keep the numbers of every finished run below some folders.

    Nothing is written before all of them are known to be fit for it. Run again, it writes what is new or has changed;
    what was kept of runs that are gone stays.

    Args:
        folders: runs, sweeps, or folders of them.
        into: holds a folder a run, as the study does; made where it is missing.

    Returns:
        What was kept; unfinished and failed runs, and those whose parts do not fit together, are left out and named.

    Raises:
        UserError: where nothing can be kept, two runs would be kept in one place, a run names a private place, or the
            folder overlaps the study or holds something else.
    """
    into = Path(into).expanduser()
    check_place(folders, into)
    found = find_results(folders)
    left_out = list(found.left_out)
    origin: dict[Path, Path] = {}
    contents: dict[Path, Files] = {}
    for stored in found.results:
        target = into / _place(stored.folder, folders)
        if target in origin:
            raise UserError(
                f"{origin[target]} and {stored.folder} would both be kept as {target}: keep them one after the other, "
                "in two folders."
            )
        origin[target] = stored.folder
        try:
            contents[target] = kept_files(stored.folder)
        except ValueError as error:
            left_out.append(LeftOut(stored.folder, str(error)))
            continue
        _check_target(target)
    if not contents:
        reasons = "; ".join(f"{item.folder.name} {item.reason}" for item in left_out[:3])
        raise UserError(f"{', '.join(map(str, folders))}: no finished run whose numbers could be kept. {reasons}.")
    written = [target for target, files in contents.items() if _write(target, files)]
    return Kept(
        written=tuple(written),
        unchanged=tuple(target for target in contents if target not in written),
        left_out=tuple(left_out),
        size=sum((t / _file(name)).stat().st_size for t, files in contents.items() for name in files),
    )


def keep_run(run: str | Path, into: str | Path) -> bool:
    """Keep the numbers of one finished run, or of one evaluation: as it is finished when ``result.json`` is there.

    Args:
        run: the run's folder.
        into: the kept run's folder; what was kept there before is replaced.

    Returns:
        Whether anything was written: False where the folder held the same already.

    Raises:
        UserError: where the run is not finished or its parts do not fit together, it names a private place, or the
            folder holds something else or cannot be written to.
    """
    run, into = Path(run).expanduser(), Path(into).expanduser()
    check_place([run], into)
    try:
        files = kept_files(run)
    except ValueError as error:
        raise UserError(f"{run} cannot be kept: it {error}.") from error
    _check_target(into)
    return _write(into, files)


def kept_files(run: Path) -> Files:
    """Make what is kept of a run: its result, configuration, curves, and the predictions of the reported split.

    Raises:
        ValueError: saying in words that follow the folder's name why it cannot be kept.
        UserError: where it names a private place.
    """
    if not (run / RESULT).is_file():
        raise ValueError("has not ended: there is no result")
    result = read_result(run / RESULT)
    places = Places(result["config"])
    table = _table(run, result, places)
    kept: dict[str, Any] = places.without(result)
    if isinstance(kept["git"], Mapping):
        kept["git"] = {**kept["git"], "patch": None}  # which is not kept
    if isinstance(kept.get("model"), Mapping):  # of an evaluation; it belongs to the run above it
        kept["model"] = {**kept["model"], "checkpoint": Path(str(kept["model"].get("checkpoint", ""))).name}
    try:
        files = {RESULT: json.dumps(kept, indent=2, ensure_ascii=False, allow_nan=False) + "\n"}
    except ValueError as error:
        raise ValueError(f"has a result.json that is no JSON ({error})") from error
    if is_training(run):
        files[CONFIG] = yaml.safe_dump(kept["config"], sort_keys=False, allow_unicode=True)
        try:
            files[METRICS] = (run / METRICS).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"has no {METRICS} that could be read ({error})") from error
    files[f"predictions_{result['split']}.csv"] = predictions_text(table, probabilities=False)
    for name, text in files.items():
        place = private_place(text)
        if place is not None:
            raise UserError(
                f"Nothing was kept: the {name} of {run} names {place}, somebody's own folder, and numbers are kept to "
                "be shown. Write it otherwise there, or name the other runs."
            )
    return files


def check_place(folders: Sequence[str | Path], into: str | Path) -> None:
    """Refuse to keep runs among themselves, where the next report would count them twice.

    Raises:
        UserError: where the folder lies in one of the study's, or one of these in it.
    """
    place = Path(into).expanduser().resolve()
    for name in folders:
        folder = Path(name).expanduser().resolve()
        if place.is_relative_to(folder) or folder.is_relative_to(place):
            raise UserError(f"keep={into} and the runs {name} lie in each other: choose a folder of its own.")
    if place.exists() and not place.is_dir():
        raise UserError(f"keep={into} is a file: choose a folder.")


def _place(folder: Path, folders: Sequence[str | Path]) -> Path:
    """Say where below the kept study a run goes: as below the folder that was named, a named run by its own name."""
    for name in folders:
        root = Path(name).expanduser()
        if folder.is_relative_to(root):
            above = Path(root.resolve().name) if (root / RESULT).is_file() else Path()
            return above / folder.relative_to(root)
    return Path(folder.name)


def _table(run: Path, result: Mapping[str, Any], places: Places) -> Predictions:
    try:
        table = predictions_of(run, result)
    except UserError as error:
        raise ValueError(f"has predictions that cannot be read ({str(error).rstrip('.')})") from error
    named = [_relative(name, places, run) for name in table.path.tolist()]
    table = replace(table, path=np.asarray(named, dtype=np.str_))
    place = table_of(run, result["split"])
    if place is not None and place.name.endswith(PACKED):  # kept before: shortened again, it would lose a little more
        return table
    return shorten(table, result["metrics"])


def _relative(name: str, places: Places, run: Path) -> str:
    """Give a face's path below its dataset's folder."""
    if not is_absolute(name):
        return name
    root = places.root.rstrip("/\\")
    if root and name.startswith((f"{root}/", f"{root}\\")):
        return name[len(root) + 1 :]
    raise UserError(
        f"Nothing was kept: a table of {run} names the face {name}, which does not lie in the dataset's folder "
        f"({places.root or 'not recorded'}), and numbers are kept to be shown. Make the column path relative to it."
    )


def _file(name: str) -> str:
    """Name the file that a content is kept in: tables of predictions compressed."""
    return name + PACKED if name.startswith("predictions_") else name


def _check_target(target: Path) -> None:
    """Refuse a file, and a folder that holds more than a kept run, such as a run itself."""
    if not target.is_dir():
        if target.exists():
            raise UserError(f"{target} is a file where a run's numbers would be kept: choose another folder.")
        return
    shown = [path for path in target.iterdir() if not path.name.startswith(".")]
    files = [p.name for p in shown if not p.is_dir() and not _is_ours(p.name)]
    other = sorted(files + [p.name for p in shown if p.is_dir() and (p.name in _OF_A_RUN or _is_ours(p.name))])
    if other:
        raise UserError(f"{target} is no kept run, for it holds {other[0]}: choose another folder to keep numbers in.")


def _is_ours(name: str) -> bool:
    return name in (RESULT, CONFIG, METRICS) or (name.startswith("predictions_") and name.endswith(f".csv{PACKED}"))


def _write(target: Path, files: Files) -> bool:
    """Write a kept run; its ``result.json`` last, so that a folder that has one is whole.

    What was kept before is given up only when all of the new is on the disk.
    """
    make_folder(target)
    remove_leftovers(target)
    ours = {path.name for path in target.iterdir() if _is_ours(path.name)}
    if ours == {_file(name) for name in files} and all(_same(target / _file(n), text) for n, text in files.items()):
        return False
    with ExitStack() as stack:  # whose files get their names in the end, the first one last
        for name, text in sorted(files.items(), key=lambda item: item[0] != RESULT):
            path = stack.enter_context(atomic_path(target / _file(name)))
            path.write_bytes(pack(text) if _file(name) != name else text.encode("utf-8"))
        for name in sorted(ours, key=lambda name: name != RESULT):
            (target / name).unlink()
    return True


def _same(path: Path, text: str) -> bool:
    """Whether a file holds a text; a table whatever the version of the library that compressed it."""
    try:
        with open_table(path) as file:
            return file.read() == text
    except (OSError, EOFError, UnicodeDecodeError, lzma.LZMAError, UserError):
        return False
