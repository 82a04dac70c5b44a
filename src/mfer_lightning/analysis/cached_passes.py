"""Passes of faces through a model under changes, each kept on disk until the suite that asked for them is finished."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.data.dataset import Change
from mfer_lightning.data.datasets import FaceDataModule
from mfer_lightning.data.holdout import holdout
from mfer_lightning.files import atomic_path, write_json
from mfer_lightning.inference.match_classes import ClassMatch
from mfer_lightning.inference.model import FERModel
from mfer_lightning.inference.predict_split import SplitName, predict_split
from mfer_lightning.views import ONE_VIEW, Views


@dataclass(frozen=True, eq=False)
class Faces:
    """The faces that are measured, and what measures them.

    Args:
        model: the model.
        datamodule: has read its labels.
        split: of the datamodule.
        positions: (N,) faces within the split, sorted by row of the index.
        match: from the model's logits and the dataset's labels to the common classes.
        views: what is averaged for one face.
    """

    model: FERModel
    datamodule: FaceDataModule
    split: SplitName
    positions: NDArray[np.int64]
    match: ClassMatch
    views: Views = ONE_VIEW

    @property
    def rows(self) -> NDArray[np.int64]:
        """(N,) rows of the index."""
        return self.datamodule.splits[self.split].rows[self.positions]

    @property
    def label(self) -> NDArray[np.int64]:
        """(N,) labels among the common classes."""
        return self.match.to_common[self.datamodule.splits[self.split].label[self.positions]]

    def identity(self) -> str:
        """Hash the weights, the faces and how they are predicted: equal hashes mean equal figures."""
        digest = hashlib.sha256()
        for name, tensor in self.model.network.state_dict().items():
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        facts = (
            self.datamodule.data_hash,
            self.split,
            self.match.names,
            self.views.mark,
            self.model.preprocess.to_config(),
        )
        digest.update(repr(facts).encode())
        digest.update(self.rows.tobytes())
        return digest.hexdigest()


def choose_faces(
    datamodule: FaceDataModule, split: SplitName, match: ClassMatch, limit: int | None = None
) -> NDArray[np.int64]:
    """Choose which faces of a split to measure: all of the common classes, or a stratified part of them.

    Args:
        datamodule: has read its labels.
        split: which.
        match: faces of dropped classes are left out.
        limit: how many at about the most; the choice depends on the faces' names alone. None: all.

    Returns:
        Positions within the split, sorted by row of the index.
    """
    part = datamodule.splits[split]
    positions = np.argsort(part.rows)
    positions = positions[match.to_common[part.label[positions]] >= 0]
    if limit is not None and limit < len(positions):
        paths = datamodule.index.path[part.rows[positions]].tolist()
        positions = positions[holdout(part.label[positions], paths, limit / len(positions), seed=0)]
    return positions


class Passes:
    """Predictions of the same faces under one change after another.

    Args:
        faces: what is measured.
        folder: where finished passes are kept; those of a broken-off suite with the same faces and weights are used
            again, others removed. None: nothing is kept.
        definition: what else a kept pass depends on (version, seed, border).
        progress: called with a pass's name and the number of faces done since.
    """

    def __init__(
        self,
        faces: Faces,
        folder: Path | None = None,
        definition: str = "",
        progress: Callable[[str, int], None] | None = None,
    ) -> None:
        self.faces = faces
        self.folder = folder
        self.progress = progress
        self.reused = 0
        if folder is not None:
            identity = {"identity": faces.identity(), "definition": definition}
            if not _same(folder / "identity.json", identity):
                shutil.rmtree(folder, ignore_errors=True)
                write_json(folder / "identity.json", identity)

    def logits(self, name: str, change: Change | None = None, views: Views | None = None) -> NDArray[np.float32]:
        """Return the logits (N,K) over the common classes of all faces under a change.

        Args:
            name: of the pass, fit for a file name.
            change: what to do to the faces; None: nothing.
            views: what is averaged for one face; None: as the faces say.
        """
        file = None if self.folder is None else self.folder / f"{name}.npy"
        kept = None if file is None else _kept(file, (len(self.faces.positions), len(self.faces.match.names)))
        if kept is not None:
            self.reused += 1
            if self.progress is not None:
                self.progress(name, len(kept))
            return kept
        logits = self.run(name, self.faces.positions, change, views)
        if file is not None:
            with atomic_path(file) as temporary:
                np.save(temporary, logits)
        return logits

    def run(
        self, name: str, positions: NDArray[np.int64], change: Change | None = None, views: Views | None = None
    ) -> NDArray[np.float32]:
        """As :meth:`logits`, for any faces of the split in any order; rows come back sorted, and nothing is kept."""
        faces, progress = self.faces, self.progress
        outputs = predict_split(
            faces.model,
            faces.datamodule,
            faces.split,
            views=faces.views if views is None else views,
            positions=positions,
            change=change,
            progress=None if progress is None else lambda n: progress(name, n),
        )
        return outputs.logits[:, faces.match.columns]

    def finish(self) -> None:
        """Remove what was kept."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)


def _same(file: Path, identity: dict[str, str]) -> bool:
    try:
        return bool(json.loads(file.read_text(encoding="utf-8")) == identity)
    except (OSError, ValueError):
        return False


def _kept(file: Path, shape: tuple[int, int]) -> NDArray[np.float32] | None:
    try:
        kept = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return kept if kept.shape == shape and kept.dtype == np.float32 and bool(np.isfinite(kept).all()) else None
