"""Base class of all losses: declares the kind of target and the settings."""

from __future__ import annotations

from typing import Literal

from torch import nn

#: Kinds of target rows: a distribution, one class, or a set of classes (all entries > 0 belong to it).
TargetKind = Literal["distribution", "one-hot", "multi-hot"]


class Loss(nn.Module):
    """Base class of losses. Subclasses declare the kind of target they accept and the settings shown when printed."""

    #: Kind of target rows.
    target_kind: TargetKind = "distribution"
    #: Names of the attributes that are settings.
    settings: tuple[str, ...] = ()

    def extra_repr(self) -> str:
        """Show the settings."""
        return ", ".join(f"{name}={getattr(self, name)}" for name in self.settings)
