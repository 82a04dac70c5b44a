"""The best and the last checkpoint of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import ModelCheckpoint


class RunCheckpoint(ModelCheckpoint):
    """``best.ckpt`` by a validation metric (or of the last epoch) and ``last.ckpt``, at the end of each epoch.

    Differs from Lightning's in that a run may be moved or mounted elsewhere between two starts: the folder it is in
    now is where its checkpoints are, and the best figure so far stays known. (Lightning forgets it when the absolute
    path differs.)

    Args:
        folder: the run's folder of checkpoints.
        monitor: the validation metric that selects, higher is better; None: the last epoch.
    """

    def __init__(self, folder: str | Path, monitor: str | None) -> None:
        super().__init__(
            dirpath=str(folder),
            filename="best",
            monitor=monitor,
            mode="max",
            save_last=True,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the state of an earlier start, wherever the run lay then."""
        state = dict(state_dict, dirpath=self.dirpath)
        for name in ("best_model_path", "kth_best_model_path", "last_model_path"):
            state[name] = self._here(state.get(name, ""))
        state["best_k_models"] = {self._here(path): score for path, score in state.get("best_k_models", {}).items()}
        super().load_state_dict(state)

    def _here(self, path: str) -> str:
        return str(Path(str(self.dirpath)) / Path(path).name) if path else ""
