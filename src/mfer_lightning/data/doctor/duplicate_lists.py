"""Write lists of the faces that two splits share, to evaluate or train without them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from mfer_lightning.data.datasets import FaceDataModule
from mfer_lightning.data.doctor.duplicates import Pairs
from mfer_lightning.data.doctor.scan import Scan
from mfer_lightning.files import atomic_path, make_folder

#: Pairs of splits: each list contains faces of the first split that also occur in the second. Lists of validation and
#: test faces are for evaluating without them, lists of training faces for training without them (``dataset.exclude``).
BETWEEN = (("val", "train"), ("test", "train"), ("test", "val"), ("train", "val"), ("train", "test"))
COLUMNS = ("path", "twin", "same")


def write_shared(folder: str | Path, looked: Scan, pairs: Pairs, datamodule: FaceDataModule) -> dict[Path, int]:
    """Write ``<split>-in-<other>.csv``: the faces of a split whose images also occur in the other split.

    A file has one row per face, with the columns ``path``, ``twin`` (a duplicate in the other split, if possible an
    identical image) and ``same`` (``pixels`` for identical images, ``looks`` for near duplicates). If a face is in both
    splits, as in a protocol that selects on the test set, ``twin`` is the face itself. ``mfer evaluate
    lists.<name>=<file>`` and ``mfer train dataset.exclude=<file>`` read these files. If two splits share no images, the
    file contains only the header, so that no outdated list remains.

    Args:
        folder: folder for the files, created if it does not exist.
        looked: the scan.
        pairs: its duplicates.
        datamodule: datamodule with its labels read.

    Returns:
        File -> number of faces in it.

    Raises:
        UserError: if the folder cannot be written to.
    """
    folder = Path(folder).expanduser()
    make_folder(folder)
    names, rows = datamodule.index.path, np.arange(len(datamodule.index))
    within = {name: np.isin(rows, datamodule.splits[name].rows) for name in ("train", "val", "test")}
    first, second = looked.rows[pairs.first], looked.rows[pairs.second]
    written: dict[Path, int] = {}
    for split, other in BETWEEN:
        both = np.flatnonzero(within[split] & within[other]).tolist()
        # row -> (twin is another face, pixels differ, row of the twin); the minimum is reported
        found: dict[int, tuple[bool, bool, int]] = {row: (False, False, row) for row in both}
        for one, two in ((first, second), (second, first)):
            between = within[split][one] & within[other][two]
            for row, twin, exact in zip(
                one[between].tolist(), two[between].tolist(), pairs.exact[between].tolist(), strict=True
            ):
                candidate = (True, not exact, twin)
                found[row] = min(found.get(row, candidate), candidate)
        path = folder / f"{split}-in-{other}.csv"
        with atomic_path(path) as part, part.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for row, (_, differs, twin) in sorted(found.items()):
                writer.writerow((names[row], names[twin], "looks" if differs else "pixels"))
        written[path] = len(found)
    return written
