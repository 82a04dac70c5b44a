"""``hydra/sweeper=optuna``: Hydra takes sweepers from the package ``hydra_plugins`` alone."""

from __future__ import annotations

from mfer_lightning.sweeps.optuna_sweeper import Search


class OptunaSweeper(Search):
    """Search with Optuna."""
