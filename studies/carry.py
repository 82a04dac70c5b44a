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

RESULT = "result.json"


def keep(study: Path, runs: Sequence[Path]) -> str:
    """Keep the numbers of finished runs."""
    missing = [str(folder) for folder in runs if not folder.is_dir()]
    if missing:
        raise UserError(f"{', '.join(missing)}: no such folder of runs.")
    kept = keep_study(runs, study)
    left_out = "".join(f"\nleft out: {item.folder} {item.reason}" for item in kept.left_out)
    return f"{study}: {len(kept.written)} runs kept, {len(kept.unchanged)} were kept before.{left_out}"


def restore(study: Path, runs: Path) -> str:
    """Copy kept runs to where they count as finished; each appears whole or not at all, and what is there stays."""
    kept = sorted(path.parent for path in study.glob(f"*/{RESULT}"))
    if not kept:
        raise UserError(f"{study}: no kept run, a folder with a {RESULT}.")
    new = [run for run in kept if not (runs / run.name / RESULT).is_file()]
    for run in new:
        begun = runs / run.name
        if begun.exists():
            raise UserError(f"{begun} is a run that was begun and not finished: remove it, or go on with it.")
        part = runs / f".{run.name}.part"
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(run, part)
        part.rename(begun)
    return f"{runs}: {len(new)} kept runs put back, {len(kept) - len(new)} were there."


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
