"""Parameter groups, optimizers, sharpness-aware minimisation, schedules and mixup. Pure torch and timm."""

from __future__ import annotations

from mfer_lightning.optim.configured import configured
from mfer_lightning.optim.groups import parameter_groups
from mfer_lightning.optim.mixup import Mixup
from mfer_lightning.optim.optimizers import build_optimizer, optimizer_for, unused_options
from mfer_lightning.optim.plateau import build_plateau, plateau_for
from mfer_lightning.optim.sam import SAM
from mfer_lightning.optim.schedules import build_schedule, schedule_for

__all__ = [
    "SAM",
    "Mixup",
    "build_optimizer",
    "build_plateau",
    "build_schedule",
    "configured",
    "optimizer_for",
    "parameter_groups",
    "plateau_for",
    "schedule_for",
    "unused_options",
]
