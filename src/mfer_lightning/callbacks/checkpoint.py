"""Keep the best and the last checkpoint of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import ModelCheckpoint


class RunCheckpoint(ModelCheckpoint):
    """Save one checkpoint of a run: the best by a validation metric, or the last.

    A run has two of these callbacks, ``best`` and ``last``. Both save at the end of an epoch. If validation does not
    run at the end of every epoch (``val_check_interval``, ``check_val_every_n_epoch``), ``best`` saves after
    validation, as in Lightning.

    Lightning's ``save_last`` is not used: in version 2.6.6, it writes ``last.ckpt`` only in epochs that improve on the
    best one, so a run would resume from the best epoch instead of the last.

    Unlike Lightning's callback, this one allows a run to be moved before it is resumed: checkpoints are in the current
    folder of the run, and the best score so far is kept. Lightning resets the score if the absolute path has changed.

    Args:
        folder: checkpoint folder of the run.
        name: file name without ``.ckpt``.
        monitor: the validation metric used for selection; None: save the last epoch.
        mode: whether higher (``max``) or lower (``min``) values are better.
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
        """Key of this callback's state in a checkpoint."""
        return f"RunCheckpoint[{self.filename}]"

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state of an interrupted run, even if the run has been moved."""
        state = dict(state_dict, dirpath=self.dirpath)
        for name in ("best_model_path", "kth_best_model_path", "last_model_path"):
            state[name] = self._here(state.get(name, ""))
        state["best_k_models"] = {self._here(path): score for path, score in state.get("best_k_models", {}).items()}
        super().load_state_dict(state)

    def _here(self, path: str) -> str:
        return str(Path(str(self.dirpath)) / Path(path).name) if path else ""
