"""Base class of all networks: named outputs, a classifier on features, and a serialisable configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypedDict

from torch import Tensor, nn

from mfer_lightning.nn.backbones import Backbone


class Output(TypedDict, total=False):
    """Output of a network: ``feature`` (B,D), ``logits`` (B,K), ``head_logits`` (tuple of (B,K)) and optional entries.

    ``map`` (B,D,h,w) is present if the feature is the mean of a feature map. Networks with several attention heads add
    either ``pooled`` (B,D), the mean of the map before the attention, and ``attended`` (B,H,D), the features of the
    heads, or ``attention_maps`` (B,H,D,h,w). ``valence_arousal`` (B,2) is present if a network predicts it.
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

    Parameters under ``head.`` belong to the classifier. The weights of a pre-trained backbone are loaded into the
    parameters under ``backbone.``, except those of added modules, such as attention.

    Attributes:
        name: a name in :data:`mfer_lightning.nn.networks.NETWORKS`.
        config: a plain dict from which ``build_network(config)`` builds the same network; usable in JSON and
            checkpoints.
        num_classes: number of classes K.
        feature_dim: width D of the feature.
        outputs: names of the outputs of :meth:`forward`.
        backbone: the feature extractor.
        head: the classifier on the feature.
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
            ``feature`` (B,D), ``logits`` (B,K), ``head_logits``, and the other entries named in :attr:`outputs`.

        Raises:
            ValueError: for integer images, which have not been normalised.
        """
        raise NotImplementedError

    @property
    def backbone_config(self) -> dict[str, Any]:
        """The complete specification of the backbone."""
        found: dict[str, Any] = self.config["backbone"]
        return found

    def classify(self, feature: Tensor) -> tuple[Tensor, ...]:
        """Compute logits from features (B,D) like the output's ``feature``: one (B,K) per head."""
        logits = self.head(feature)
        return logits if isinstance(logits, tuple) else (logits,)

    def public_names(self) -> Mapping[str, str]:
        """Map our tensor names to those of the authors' public files; empty for networks without such files."""
        return {}

    def public_left_out(self) -> tuple[str, ...]:
        """Return the modules in the authors' public files that have no counterpart here."""
        return ()

    @staticmethod
    def check_image(image: Tensor) -> None:
        """Reject integer images, which have not been normalised.

        Raises:
            ValueError: for integer images.
        """
        if not image.is_floating_point():
            raise ValueError(
                f"Expected argument `image` to contain normalised floats, but got {image.dtype}. "
                "Pass it through Preprocess."
            )
