"""``hydra/launcher=ray``: Hydra finds launchers only in the package ``hydra_plugins``."""

from __future__ import annotations

from mfer_lightning.sweeps.ray_launcher import Jobs


class RayLauncher(Jobs):
    """Run the jobs of a sweep with Ray."""
