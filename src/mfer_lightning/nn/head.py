"""Classification heads.

Paper: Xu et al.: MFER, IEEE Transactions on Affective Computing 2024, doi 10.1109/TAFFC.2024.3458464 (the multiscale
classifier, "Msc"). In the released code, heads use prefixes of the channel groups (our default); the paper's figure
shows pairs (`grouping="pair"`). Reimplemented from the description; PyTorch's default initialisation, as in the code.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mfer_lightning.errors import UserError, expect_choice
from mfer_lightning.plurals import counted

_GROUPINGS = ("prefix", "pair")

#: Options of each head with their defaults.
HEADS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {"multiscale": {"groups": 4, "scales": 3, "grouping": "prefix"}, "linear": {}}
)


class ScaleHead(nn.Module):
    """One head of the multiscale classifier: Linear(n -> n), GELU, Linear(n -> classes).

    Args:
        in_features: input width n.
        num_classes: number of classes K.
    """

    def __init__(self, in_features: int, num_classes: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(in_features, in_features)
        self.fc2 = nn.Linear(in_features, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B,n) to logits (B,K)."""
        return self.fc2(F.gelu(self.fc1(x)))  # type: ignore[no-any-return]


class MultiscaleHead(nn.Module):
    """Several heads, each on its own subset of the feature's channels.

    The D channels are split into ``groups`` equal groups (if D is not divisible, they differ by at most one channel).
    With ``"prefix"``, the heads use the first ``groups - scales + 1``, ..., ``groups`` groups; for the paper's 4 groups
    and 3 scales, these are 2, 3 and 4 groups. With ``"pair"``, head i uses groups 0 and i. The prediction is the sum of
    the heads' logits; the loss is the sum of their losses.

    Args:
        in_features: width D of the feature.
        num_classes: number of classes K.
        groups: number of channel groups G, 1 to D.
        scales: number of heads: 1 to G for prefixes, 1 to G - 1 for pairs.
        grouping: ``"prefix"`` or ``"pair"``.

    Raises:
        ValueError: for arguments outside their range.

    Example:
        >>> head = MultiscaleHead(1024, 7)
        >>> sum(p.numel() for p in head.parameters())
        1918997
        >>> [logits.shape for logits in head(torch.zeros(2, 1024))]
        [torch.Size([2, 7]), torch.Size([2, 7]), torch.Size([2, 7])]
    """

    def __init__(
        self, in_features: int, num_classes: int, *, groups: int = 4, scales: int = 3, grouping: str = "prefix"
    ) -> None:
        super().__init__()
        _check_classes(num_classes)
        expect_choice("grouping", grouping, _GROUPINGS)
        if not isinstance(groups, int) or not 1 <= groups <= in_features:
            raise ValueError(
                f"Expected argument `groups` to be an integer from 1 to the feature width {in_features}, "
                f"but got {groups!r}."
            )
        most = groups if grouping == "prefix" else groups - 1
        if not isinstance(scales, int) or not 1 <= scales <= most:
            raise ValueError(
                f"Expected argument `scales` to be an integer from 1 to {most} with {counted(groups, 'group')} "
                f"and grouping '{grouping}', but got {scales!r}."
            )
        self.in_features = in_features
        self.grouping = grouping
        edges = [in_features * i // groups for i in range(groups + 1)]
        self.slices: list[tuple[tuple[int, int], ...]]
        if grouping == "prefix":
            # Each head reads the channels 0..end; slicing makes no copy.
            self.slices = [((0, edges[i]),) for i in range(groups - scales + 1, groups + 1)]
        else:
            self.slices = [((0, edges[1]), (edges[i], edges[i + 1])) for i in range(1, scales + 1)]
        self.heads = nn.ModuleList(
            ScaleHead(sum(end - start for start, end in parts), num_classes) for parts in self.slices
        )

    @property
    def output_layers(self) -> tuple[str, ...]:
        """Names of the layers whose output rows correspond to the classes."""
        return tuple(f"heads.{i}.fc2" for i in range(len(self.heads)))

    def forward(self, feature: Tensor) -> tuple[Tensor, ...]:
        """Map features (B,D) to one (B,K) tensor of logits per head."""
        outputs = []
        for head, parts in zip(self.heads, self.slices, strict=True):
            shares = [feature[:, start:end] for start, end in parts]
            outputs.append(head(shares[0] if len(shares) == 1 else torch.cat(shares, dim=1)))
        return tuple(outputs)

    def extra_repr(self) -> str:
        """Show which channels each head uses."""
        seen = [" + ".join(f"{start}:{end}" for start, end in parts) for parts in self.slices]
        return f"{self.grouping}, channels " + ", ".join(seen)


class LinearHead(nn.Module):
    """Baseline head: one linear layer.

    Args:
        in_features: width D of the feature.
        num_classes: number of classes K.

    Raises:
        ValueError: if ``num_classes`` is below 2.

    Example:
        >>> [logits.shape for logits in LinearHead(8, 7)(torch.zeros(2, 8))]
        [torch.Size([2, 7])]
    """

    #: Names of the layers whose output rows correspond to the classes.
    output_layers = ("fc",)

    def __init__(self, in_features: int, num_classes: int) -> None:
        super().__init__()
        _check_classes(num_classes)
        self.fc = nn.Linear(in_features, num_classes)

    def forward(self, feature: Tensor) -> tuple[Tensor, ...]:
        """Map features (B,D) to a tuple of one (B,K) tensor of logits."""
        return (self.fc(feature),)


def build_head(config: Mapping[str, Any], in_features: int, num_classes: int) -> MultiscaleHead | LinearHead:
    """Build a head from a complete specification.

    Args:
        config: a name in :data:`HEADS` and all its options.
        in_features: width D of the feature.
        num_classes: number of classes K.

    Raises:
        UserError: for option values outside their range.
    """
    options = {key: value for key, value in config.items() if key != "name"}
    try:
        if config["name"] == "linear":
            return LinearHead(in_features, num_classes)
        return MultiscaleHead(in_features, num_classes, **options)
    except ValueError as error:
        raise UserError(f"Head '{config['name']}': {error}") from error


def _check_classes(num_classes: int) -> None:
    if not isinstance(num_classes, int) or num_classes < 2:
        raise ValueError(f"Expected argument `num_classes` to be an integer of at least 2, but got {num_classes!r}.")
