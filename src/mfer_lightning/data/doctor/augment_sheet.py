"""Select training faces and augment them for a contact sheet."""

from __future__ import annotations

import numpy as np

from mfer_lightning.data.datasets import FaceDataModule
from mfer_lightning.data.doctor.contact_sheet import SheetRow
from mfer_lightning.errors import UserError

#: Number of augmented versions of each face in the sheet, one per epoch.
EPOCHS = 8


def augment_rows(datamodule: FaceDataModule, faces: int) -> list[SheetRow]:
    """Augment some training faces as in the first epochs of training.

    Args:
        datamodule: datamodule with its labels read.
        faces: maximum number of faces, balanced over classes if possible.

    Returns:
        For each face, its class and its images: the original, followed by those of the first :data:`EPOCHS` epochs.

    Raises:
        UserError: if there are no training faces.
    """
    train, augment = datamodule.splits.train, datamodule.augment
    if len(train) == 0:
        raise UserError(f"preview={faces}: there are no training faces in {datamodule.index.root}.")
    order = np.random.default_rng(0).permutation(len(train))
    labels = train.label[order]
    turn = [np.count_nonzero(labels[:i] == label) for i, label in enumerate(labels[: 100 * faces])]
    chosen = order[np.lexsort((labels[: len(turn)], turn))[:faces]]
    source = datamodule.make_source(datamodule.index)
    rows: list[SheetRow] = []
    for row, label in zip(train.rows[chosen], train.label[chosen], strict=True):
        face = source.read(int(row))
        pictures = [face]
        for epoch in range(EPOCHS):
            batch = face[None].copy()
            if augment is not None:
                batch = augment(batch, datamodule.seed, np.array([epoch]), np.array([row]))
            pictures.append(batch[0])
        rows.append((datamodule.index.class_names[label], pictures))
    return sorted(rows, key=lambda pair: datamodule.index.class_names.index(pair[0]))
