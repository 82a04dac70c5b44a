"""Predict the same faces under a series of changes, and keep finished passes on disk until the suite is finished."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.analysis.model_on_split import ModelOnSplit
from mfer_lightning.damaged_arrays import DAMAGE
from mfer_lightning.data.dataset import Change
from mfer_lightning.files import atomic_path, write_json
from mfer_lightning.inference.predict_split import predict_split
from mfer_lightning.views import Views


class Passes:
    """Predictions for the same faces under a series of changes.

    Args:
        subject: the model and the faces.
        folder: where finished passes are kept. Passes of an interrupted suite are reused if faces, weights and
            ``definition`` are the same, and removed otherwise. None: nothing is kept.
        definition: everything else that a pass depends on (version, seed, border), as text.
        progress: called with a pass's name and the number of faces done since the last call.
    """

    def __init__(
        self,
        subject: ModelOnSplit,
        folder: Path | None = None,
        definition: str = "",
        progress: Callable[[str, int], None] | None = None,
    ) -> None:
        self.subject = subject
        self.folder = folder
        self.progress = progress or (lambda name, count: None)
        self.reused = 0
        if folder is not None:
            identity = {"identity": subject.identity(), "definition": definition}
            if not _same(folder / "identity.json", identity):
                shutil.rmtree(folder, ignore_errors=True)
                write_json(folder / "identity.json", identity)

    def logits(self, name: str, change: Change | None = None, views: Views | None = None) -> NDArray[np.float32]:
        """Return the logits of all faces under a change.

        Args:
            name: name of the pass, used as a file name.
            change: change applied to the faces; None for no change.
            views: views averaged for each face; None: the views of the subject.

        Returns:
            (N,K) float32 over the common classes, sorted by row of the index.
        """
        if self.folder is None:
            return self.run(name, self.subject.positions, change, views)
        file = self.folder / f"{name}.npy"
        kept = _kept(file, (len(self.subject.positions), len(self.subject.match.names)))
        if kept is not None:
            self.reused += 1
            self.progress(name, len(kept))
            return kept
        logits = self.run(name, self.subject.positions, change, views)
        with atomic_path(file) as temporary:
            np.save(temporary, logits)
        return logits

    def run(
        self, name: str, positions: NDArray[np.int64], change: Change | None = None, views: Views | None = None
    ) -> NDArray[np.float32]:
        """Like :meth:`logits`, but for any faces of the split, and without keeping the result.

        Args:
            name: name of the pass, for ``progress``.
            positions: (M,) positions of the faces within the split, in the order in which they are predicted.
            change: change applied to the faces; None for no change.
            views: views averaged for each face; None: the views of the subject.

        Returns:
            (M,K) float32 over the common classes, sorted by row of the index.
        """
        subject = self.subject
        outputs = predict_split(
            subject.model,
            subject.datamodule,
            subject.split,
            views=subject.views if views is None else views,
            positions=positions,
            change=change,
            progress=lambda count: self.progress(name, count),
        )
        return outputs.logits[:, subject.match.columns]

    def finish(self) -> None:
        """Remove the kept passes."""
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
    except DAMAGE:
        return None
    return kept if kept.shape == shape and kept.dtype == np.float32 and bool(np.isfinite(kept).all()) else None
