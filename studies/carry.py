"""Copy the finished runs of a study to another machine through version control, without printing any results.

``python studies/carry.py keep studies/<study> runs/<study>`` archives the results of the finished runs (no images, no
weights) in ``studies/<study>/runs.npz``. ``python studies/carry.py restore studies/<study> runs/<study>`` unpacks them
into run folders. The study's script then skips these runs and trains only the others. To archive only some seeds, name
their runs: ``... keep studies/<study> runs/<study>/*-s0-*``.
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
    """Archive the results of finished runs, and summarise what was archived.

    Args:
        study: folder of the archive ``runs.npz``, which is created or extended.
        runs: run folders, or folders that contain them.

    Raises:
        UserError: if a folder does not exist, or :func:`keep_study` raises it.
    """
    missing = [str(folder) for folder in runs if not folder.is_dir()]
    if missing:
        raise UserError(f"There is no folder {', '.join(missing)}.")
    kept = keep_study(runs, study)
    left_out = "".join(f"\nleft out: {item.folder} {item.reason}" for item in kept.left_out)
    return f"{study}: archived {len(kept.written)}, unchanged {len(kept.unchanged)}.{left_out}"


def restore(study: Path, folder: Path) -> str:
    """Unpack into a folder the archived runs that are not finished there, and summarise what was unpacked.

    All runs are checked before the first is written.

    Raises:
        UserError: if the archive is missing or damaged, or a run folder contains an unfinished run.
    """
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
                raise UserError(f"Nothing was restored: {place} contains an unfinished run. Finish it or remove it.")
            new.append(run)
    for run in new:
        unpack_run(run, folder / run.name)
    return f"{folder}: restored {len(new)}, already there {len(runs) - len(new)}."


def main(words: Sequence[str]) -> int:
    """Run the command line; return the exit code, 2 for an error."""
    try:
        if len(words) >= 3 and words[0] == "keep":
            print(keep(Path(words[1]), list(map(Path, words[2:]))))
        elif len(words) == 3 and words[0] == "restore":
            print(restore(Path(words[1]), Path(words[2])))
        else:
            raise UserError("Usage: carry.py keep|restore studies/<study> runs/<study>")
    except (UserError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
