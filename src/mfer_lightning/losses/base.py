"""What every loss says of itself: the kind of target that it takes, and its settings."""

from __future__ import annotations

from typing import Literal

from torch import nn

#: What a row of the target may be: a distribution, one class, or a set of classes (all entries > 0 belong to it).
TargetKind = Literal["distribution", "one-hot", "multi-hot"]


class Loss(nn.Module):
    """A loss that names its settings where it is printed."""

    #: What a row of its target may be.
    target_kind: TargetKind = "distribution"
    #: The attributes that are its settings.
    settings: tuple[str, ...] = ()

    def extra_repr(self) -> str:
        """Name the settings."""
        return ", ".join(f"{name}={getattr(self, name)}" for name in self.settings)
