"""Select the faces of the contact sheet."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.data.datasets import FaceDataModule
from mfer_lightning.data.doctor.examine import Examination
from mfer_lightning.data.images.sources import FileSource

SheetRow = tuple[str, list[NDArray[np.uint8]]]


def sheet_rows(datamodule: FaceDataModule, found: Examination, faces: int) -> list[SheetRow]:
    """Select random faces of each class, the faces with the lowest contrast, and pairs of duplicates.

    Args:
        datamodule: datamodule of the faces.
        found: the examination, with a scan.
        faces: maximum number of faces per row.

    Returns:
        Title and faces, (H,W,3) RGB, of each row.
    """
    assert found.scan is not None
    assert found.pairs is not None
    index, rng = datamodule.index, np.random.default_rng(0)
    source = datamodule.make_source(index)
    if isinstance(source, FileSource):
        source = FileSource(index, None)
    label = datamodule.splits.labels(len(index))
    rows: list[SheetRow] = []
    readable = found.scan.rows
    for k, name in enumerate(index.class_names):
        members = readable[label[readable] == k]
        chosen = rng.choice(members, min(faces, len(members)), replace=False) if len(members) else members
        rows.append((name, [source.read(int(row)) for row in chosen]))
    flattest = readable[np.argsort(found.scan.std)[:faces]]
    rows.append(("lowest contrast", [source.read(int(row)) for row in flattest]))
    for words, kind in (("identical pairs", True), ("near duplicates", False)):
        which = np.flatnonzero(found.pairs.exact == kind)
        chosen = rng.choice(which, min(faces // 2, len(which)), replace=False) if len(which) else which
        pictures = [
            source.read(int(readable[side[p]])) for p in chosen for side in (found.pairs.first, found.pairs.second)
        ]
        if pictures:
            rows.append((words, pictures))
    return rows
