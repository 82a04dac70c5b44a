"""Adapter for the losses of pytorch-metric-learning (Musgrave et al., arXiv 2008.09164; MIT licence)."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import MappingProxyType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from mfer_lightning.errors import UserError, check_count, nearest
from mfer_lightning.losses.base import TargetKind
from mfer_lightning.losses.checks import at_least_float32, check_feature, check_target_kind, no_autocast
from mfer_lightning.losses.gather import gather_rows

#: Short name -> (class in the library, paper).
ALIASES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "arcface": ("ArcFaceLoss", "Deng et al., CVPR 2019, arXiv 1801.07698"),
        "circle": ("CircleLoss", "Sun et al., CVPR 2020, arXiv 2002.10857"),
        "contrastive": ("ContrastiveLoss", "Hadsell et al., CVPR 2006"),
        "cosface": ("CosFaceLoss", "Wang et al., CVPR 2018, arXiv 1801.09414"),
        "multisimilarity": ("MultiSimilarityLoss", "Wang et al., CVPR 2019, arXiv 1904.06627"),
        "proxyanchor": ("ProxyAnchorLoss", "Kim et al., CVPR 2020, arXiv 2003.13911"),
        "sphereface": ("SphereFaceLoss", "Liu et al., CVPR 2017, arXiv 1704.08063"),
        "subcenter_arcface": ("SubCenterArcFaceLoss", "Deng et al., ECCV 2020"),
        "supcon": ("SupConLoss", "Khosla et al., NeurIPS 2020, arXiv 2004.11362"),
        "triplet": ("TripletMarginLoss", "Balntas et al., BMVC 2016; Schroff et al., CVPR 2015, arXiv 1503.03832"),
    }
)


class MetricLearningLoss(nn.Module):
    """Use a loss of pytorch-metric-learning as a feature loss: ``supcon``, ``arcface``, ``triplet``, ...

    Hard labels only: soft targets are rejected. Nearly all of these losses normalise features to length 1, so they do
    not grow with the feature width and, unlike the other feature losses of this package, are *not* divided by D.

    **Several ranks.** Some losses (ArcFace, CosFace, SphereFace, ...) are means over samples, so
    DistributedDataParallel averages them like cross-entropy. Losses over pairs (SupCon, triplet, contrastive, ...) use
    only the pairs within the batch of each rank. With W ranks, these are 1/W of the pairs of the combined batch, so the
    loss is different and weaker for the same total batch size. Proxy Anchor likewise compares each proxy only with the
    batch of each rank. ``gather=True`` gathers features and labels from all ranks. Gradients then equal those of one
    process with the combined batch, but every rank computes the full loss.

    Args:
        num_classes: K >= 2.
        feature_dim: D >= 1.
        loss: a short name (see :data:`ALIASES`) or the name of any class in ``pytorch_metric_learning.losses``.
        gather: compute the loss on the combined batch of all ranks.
        **options: keyword arguments of that class, e.g. ``temperature=0.1`` for supcon. ``num_classes`` and
            ``embedding_size`` are filled in if the class accepts them.

    Raises:
        UserError: if the package is not installed, the name or an option is unknown, or a target is soft.
        ValueError: if ``num_classes`` or ``feature_dim`` is out of range.

    Example:
        >>> loss = MetricLearningLoss(num_classes=3, feature_dim=8, loss="arcface")
        >>> sorted(loss(torch.randn(6, 8), torch.eye(3).repeat(2, 1)))
        ['total']
    """

    target_kind: TargetKind = "one-hot"

    def __init__(
        self, num_classes: int, feature_dim: int, loss: str = "supcon", gather: bool = False, **options: Any
    ) -> None:
        super().__init__()
        self.num_classes = check_count("num_classes", num_classes, 2)
        self.feature_dim = check_count("feature_dim", feature_dim)
        self.name = loss
        self.gather = gather
        self.options = options
        factory = _find(loss)
        names = _option_names(factory)
        sizes = {"num_classes": num_classes, "embedding_size": feature_dim}
        try:
            self.loss: nn.Module = factory(**{k: v for k, v in sizes.items() if k in names}, **options)
        except (TypeError, AssertionError, ValueError, KeyError) as error:
            raise UserError(
                f"The loss '{loss}' ({factory.__name__}) of pytorch-metric-learning rejected its options {options}: "
                f"{str(error).rstrip('.') or type(error).__name__}; its options are: "
                f"{', '.join(sorted(names - set(sizes)))}."
            ) from error

    def forward(self, feature: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return ``{"total"}``, the loss of features (B,D) for one-hot targets (B,K).

        Raises:
            UserError: if a target is soft.
        """
        check_feature(feature, target, self.num_classes, self.feature_dim)
        check_target_kind(target, "one-hot", f"The loss '{self.name}'")
        label = target.argmax(dim=1)
        with no_autocast(feature):
            (feature,) = at_least_float32(feature)
            if self.gather:
                feature, label = gather_rows(feature, label)
            total = self.loss(feature, label)
        if not isinstance(total, Tensor) or total.ndim != 0:
            raise UserError(f"The loss '{self.name}' must return a scalar, but returned {total!r}. Use another loss.")
        return {"total": total}

    def extra_repr(self) -> str:
        """Show the settings."""
        return f"num_classes={self.num_classes}, feature_dim={self.feature_dim}, loss={self.name}, gather={self.gather}"


def _library() -> ModuleType:
    try:
        from pytorch_metric_learning import losses
    except ImportError as error:
        raise UserError(
            "This loss requires pytorch-metric-learning, which is not installed: `pip install mfer_lightning[metric]`."
        ) from error
    module: ModuleType = losses
    return module


def _find(name: str) -> type[nn.Module]:
    library = _library()
    wanted = ALIASES[name][0] if name in ALIASES else name
    found = getattr(library, wanted, None)
    if not (isinstance(found, type) and issubclass(found, torch.nn.Module)):
        legal = [*ALIASES, *(n for n in vars(library) if n.endswith("Loss"))]
        raise UserError(f"pytorch-metric-learning has no loss '{name}': {nearest(name, legal)}")
    return found


def _option_names(factory: type[nn.Module]) -> set[str]:
    """Return the argument names of a loss, including those of its base classes in the library."""
    names: set[str] = set()
    for base in factory.__mro__:
        if base.__module__.startswith("pytorch_metric_learning") and "__init__" in vars(base):
            parameters = inspect.signature(vars(base)["__init__"]).parameters.values()
            names |= {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    return names - {"self"}
