"""Lists of the faces of one split that another split holds as well, for measuring with and without them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from mfer_lightning.data.datamodules import FaceDataModule
from mfer_lightning.data.doctor.duplicates import Pairs
from mfer_lightning.data.doctor.images import Scan
from mfer_lightning.files import atomic_path, make_folder

#: Which split's faces are listed for being in which other: what a figure is measured on before what was learned from.
BETWEEN = (("val", "train"), ("test", "train"), ("test", "val"))
COLUMNS = ("path", "twin", "same")


def write_shared(folder: str | Path, looked: Scan, pairs: Pairs, datamodule: FaceDataModule) -> dict[Path, int]:
    """Write ``<split>-in-<other>.csv``: faces of a split whose picture the other split holds as well.

    One face a line, once, with the columns ``path``, ``twin`` (the first such face of the other split) and ``same``
    (``pixels``, or ``looks`` for nearly the same). ``mfer evaluate lists.<name>=<file>`` reads them. A file of two
    splits that share nothing holds the header alone, so that none of an earlier time is left standing.

    Args:
        folder: made where it is missing.
        looked: the scan.
        pairs: its duplicates.
        datamodule: with splits.

    Returns:
        File -> how many faces it lists.

    Raises:
        UserError: where the folder cannot be written to.
    """
    folder = Path(folder).expanduser()
    make_folder(folder)
    where = np.full(len(datamodule.index), "", dtype="U5")
    for name in ("train", "val", "test"):
        where[datamodule.splits[name].rows] = name
    first, second = looked.rows[pairs.first], looked.rows[pairs.second]
    written: dict[Path, int] = {}
    for split, other in BETWEEN:
        found: dict[int, tuple[int, bool]] = {}
        for one, two in ((first, second), (second, first)):
            between = (where[one] == split) & (where[two] == other)
            for row, twin, exact in zip(
                one[between].tolist(), two[between].tolist(), pairs.exact[between].tolist(), strict=True
            ):
                known = found.get(row)
                if known is None or (not exact, twin) < (not known[1], known[0]):  # equal pixels first
                    found[row] = (twin, exact)
        path = folder / f"{split}-in-{other}.csv"
        names = datamodule.index.path
        with atomic_path(path) as part, part.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for row, (twin, exact) in sorted(found.items()):
                writer.writerow((names[row], names[twin], "pixels" if exact else "looks"))
        written[path] = len(found)
    return written
