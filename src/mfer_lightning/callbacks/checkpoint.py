"""Keep the best and the last checkpoint of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import ModelCheckpoint


class RunCheckpoint(ModelCheckpoint):
    """One checkpoint of a run: the best by a validation metric, or the last.

    Both are written at the end of an epoch. Where validation does not stand at the end of every epoch
    (``val_check_interval``, ``check_val_every_n_epoch``), the best is written after validation, as Lightning does it.

    A run has two of these callbacks, ``best`` and ``last``. (Lightning's own ``save_last`` writes ``last.ckpt`` only in
    epochs that improved the best one, so that a run would resume at the best epoch and not at the last: 2.6.6.)

    Differs from Lightning's in that a run may be moved or mounted elsewhere between two starts: the folder it is in
    now is where its checkpoints are, and the best figure so far stays known. (Lightning forgets it when the absolute
    path differs.)

    Args:
        folder: the run's folder of checkpoints.
        name: of the file, without ``.ckpt``.
        monitor: the validation metric that selects; None: the last epoch.
        mode: whether more (``max``) or less (``min``) of it is better.
    """

    def __init__(self, folder: str | Path, name: str, monitor: str | None = None, mode: str = "max") -> None:
        super().__init__(
            dirpath=str(folder),
            filename=name,
            monitor=monitor,
            mode=mode,
            save_on_train_epoch_end=True if monitor is None else None,
            enable_version_counter=False,
        )

    @property
    def state_key(self) -> str:
        """Name of this callback's state in a checkpoint."""
        return f"RunCheckpoint[{self.filename}]"

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the state of an earlier start, wherever the run lay then."""
        state = dict(state_dict, dirpath=self.dirpath)
        for name in ("best_model_path", "kth_best_model_path", "last_model_path"):
            state[name] = self._here(state.get(name, ""))
        state["best_k_models"] = {self._here(path): score for path, score in state.get("best_k_models", {}).items()}
        super().load_state_dict(state)

    def _here(self, path: str) -> str:
        return str(Path(str(self.dirpath)) / Path(path).name) if path else ""
