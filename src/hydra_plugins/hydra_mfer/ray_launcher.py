"""``hydra/launcher=ray``: Hydra takes launchers from the package ``hydra_plugins`` alone."""

from __future__ import annotations

from mfer_lightning.sweeps.ray_launcher import Jobs


class RayLauncher(Jobs):
    """Run the jobs of a sweep with Ray."""
