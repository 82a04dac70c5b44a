"""What every network of this package provides: named outputs, a classifier of features, and a description of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypedDict

from torch import Tensor, nn

from mfer_lightning.nn.backbones import Backbone


class Output(TypedDict, total=False):
    """What a network returns: ``feature`` (B,D), ``logits`` (B,K), ``head_logits`` a tuple of (B,K), and further ones.

    ``map`` (B,D,h,w) is there where the feature is the mean of a map. Networks with several attention heads add
    ``pooled`` (B,D), the mean of the map in front of the attention, ``attended`` (B,H,D), the heads' features, and
    ``attention_maps`` (B,H,D,h,w). ``valence_arousal`` (B,2) is there where a network predicts them.
    """

    feature: Tensor
    logits: Tensor
    head_logits: tuple[Tensor, ...]
    map: Tensor
    pooled: Tensor
    attended: Tensor
    attention_maps: Tensor
    valence_arousal: Tensor


class Network(nn.Module):
    """A facial expression network: normalised images (B,3,S,S) to an :class:`Output`.

    Parameters under ``head.`` are the classifier's, and those under ``backbone.`` are pre-trained where weights are
    given; what is between them starts from scratch.

    Attributes:
        name: of :data:`mfer_lightning.nn.networks.NETWORKS`.
        config: a plain dict from which ``build_network(config)`` builds the same network; fit for JSON and checkpoints.
        num_classes: K.
        feature_dim: width D of the feature.
        outputs: names of what :meth:`forward` returns.
        backbone: the feature extractor.
        head: the classifier of features.
    """

    name: ClassVar[str]
    config: dict[str, Any]
    num_classes: int
    feature_dim: int
    outputs: tuple[str, ...]
    backbone: Backbone
    head: nn.Module

    def forward(self, image: Tensor) -> Output:
        """Classify normalised faces.

        Args:
            image: float (B,C,S,S), as :class:`~mfer_lightning.nn.preprocess.Preprocess` returns it.

        Returns:
            ``feature`` (B,D), ``logits`` (B,K), ``head_logits``, and what else :attr:`outputs` names.

        Raises:
            ValueError: for integer images, which were not normalised.
        """
        raise NotImplementedError

    @property
    def backbone_config(self) -> dict[str, Any]:
        """The complete specification of the backbone."""
        found: dict[str, Any] = self.config["backbone"]
        return found

    def classify(self, feature: Tensor) -> tuple[Tensor, ...]:
        """Compute the heads' logits, one (B,K) each, of features (B,D) like the output's ``feature``."""
        logits = self.head(feature)
        return logits if isinstance(logits, tuple) else (logits,)

    def public_names(self) -> Mapping[str, str]:
        """Return the names of our tensors in the authors' public files; empty where a network has none of its own."""
        return {}

    def public_left_out(self) -> tuple[str, ...]:
        """Return the modules of the authors' public files that have no counterpart here."""
        return ()

    @staticmethod
    def check_image(image: Tensor) -> None:
        """Refuse integer images, which were not normalised.

        Raises:
            ValueError: saying so.
        """
        if not image.is_floating_point():
            raise ValueError(
                f"Expected argument `image` to hold normalised floats, but got {image.dtype}. "
                "Pass it through Preprocess."
            )
