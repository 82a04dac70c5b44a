"""``hydra/sweeper=optuna``: Hydra finds sweepers only in the package ``hydra_plugins``."""

from __future__ import annotations

from mfer_lightning.sweeps.optuna_sweeper import Search


class OptunaSweeper(Search):
    """Search with Optuna."""
