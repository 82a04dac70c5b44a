"""Carry a study from one machine to the next, without looking at its figures.

``python studies/carry.py keep studies/<study> runs/<study>`` keeps the numbers of the finished runs (no images, no
weights), which go into version control. ``python studies/carry.py restore studies/<study> runs/<study>`` puts them
where the study's script takes their runs for finished and starts the others. To keep some seeds alone, name their runs:
``... keep studies/<study> runs/<study>/*-s0-*``.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.kept import keep_study
from mfer_lightning.evaluation.runs import CONFIG, RESULT, is_training, predictions_of, read_result
from mfer_lightning.files import write_text
from mfer_lightning.sweep.identity import is_finished


def keep(study: Path, runs: Sequence[Path]) -> str:
    """Keep the numbers of finished runs."""
    missing = [str(folder) for folder in runs if not folder.is_dir()]
    if missing:
        raise UserError(f"{', '.join(missing)}: no such folder of runs.")
    kept = keep_study(runs, study)
    left_out = "".join(f"\nleft out: {item.folder} {item.reason}" for item in kept.left_out)
    return f"{study}: kept {len(kept.written)}, as they were before {len(kept.unchanged)}.{left_out}"


def restore(study: Path, runs: Path) -> str:
    """Copy kept runs to where they count as finished, after a look at all of them; what is there stays.

    A run has its ``result.json`` last, so that it is finished when it is whole.
    """
    kept = [path.parent for path in sorted(study.rglob(RESULT)) if is_training(path.parent)]
    if not kept:
        raise UserError(f"{study}: no kept run, a folder with a {RESULT} and a {CONFIG}.")
    new = []
    for run in kept:
        try:
            predictions_of(run, read_result(run / RESULT))
        except ValueError as error:
            raise UserError(f"Nothing was put back: {run} {error}.") from error
        place = runs / run.relative_to(study)
        if not is_finished(place):
            if (place / "checkpoints").is_dir():
                raise UserError(f"Nothing was put back: {place} was begun and is not finished; remove it, or go on.")
            new.append((run, place))
    for run, place in new:
        shutil.copytree(
            run, place, ignore=lambda folder, _, run=run: [RESULT] * (folder == str(run)), dirs_exist_ok=True
        )
        write_text(place / RESULT, (run / RESULT).read_text(encoding="utf-8"))
    return f"{runs}: put back {len(new)}, there already {len(kept) - len(new)}."


def main(words: Sequence[str]) -> int:
    """Do what the command line says."""
    try:
        if len(words) >= 3 and words[0] == "keep":
            print(keep(Path(words[1]), list(map(Path, words[2:]))))
        elif len(words) == 3 and words[0] == "restore":
            print(restore(Path(words[1]), Path(words[2])))
        else:
            raise UserError("Say `keep studies/<study> runs/<study>` or `restore studies/<study> runs/<study>`.")
    except (UserError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
