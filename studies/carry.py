"""Move a study from one machine to another without inspecting its results.

``python studies/carry.py keep studies/<study> runs/<study>`` keeps the numbers of the finished runs (no images, no
weights) in ``studies/<study>/runs.npz``, for version control. ``python studies/carry.py restore studies/<study>
runs/<study>`` unpacks them, so that the script of the study treats these runs as finished and starts only the others.
To keep only some seeds, name their runs: ``... keep studies/<study> runs/<study>/*-s0-*``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.keep_study import keep_study
from mfer_lightning.evaluation.runs import check_result
from mfer_lightning.evaluation.study_archive import ARCHIVE, read_archive, unpack_run
from mfer_lightning.sweeps.identity import is_finished


def keep(study: Path, runs: Sequence[Path]) -> str:
    """Keep the numbers of finished runs."""
    missing = [str(folder) for folder in runs if not folder.is_dir()]
    if missing:
        raise UserError(f"{', '.join(missing)}: no such folder of runs.")
    kept = keep_study(runs, study)
    left_out = "".join(f"\nleft out: {item.folder} {item.reason}" for item in kept.left_out)
    return f"{study}: kept {len(kept.written)}, as they were before {len(kept.unchanged)}.{left_out}"


def restore(study: Path, folder: Path) -> str:
    """Check all kept runs, then unpack those that are not finished in a folder of runs."""
    runs = read_archive(study / ARCHIVE)
    new = []
    for run in runs:
        place = folder / run.name
        try:
            check_result(run.result)
        except ValueError as error:
            raise UserError(f"Nothing was restored: {run.name} {error}.") from error
        if not is_finished(place):
            if (place / "checkpoints").is_dir():
                raise UserError(f"Nothing was restored: {place} holds an unfinished run: finish it or remove it.")
            new.append(run)
    for run in new:
        unpack_run(run, folder / run.name)
    return f"{folder}: restored {len(new)}, there already {len(runs) - len(new)}."


def main(words: Sequence[str]) -> int:
    """Run the command line."""
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
