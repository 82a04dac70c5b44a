"""Mixup and CutMix with timm's implementation, also for soft targets and odd batch sizes.

Papers: Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018, arXiv 1710.09412; Yun et al., "CutMix",
ICCV 2019, arXiv 1905.04899. The mixing is done by timm (`timm.data.Mixup`); this module adds support for soft targets
and odd batch sizes, and seeding by step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from timm.data import Mixup as TimmMixup
from torch import Tensor

from mfer_lightning.errors import check_number


class Mixup:
    """Mix each image of a batch with another image, and mix their targets in the same proportion.

    For float images after preprocessing; integer images are rejected because their mixtures would be rounded. The
    targets are not smoothed, because the loss has label smoothing.

    Args:
        mixup_alpha: Beta parameter of mixup, >= 0; 0 disables it.
        cutmix_alpha: Beta parameter of CutMix, >= 0; 0 disables it.
        prob: probability that a batch (or an element) is mixed, within [0, 1].
        switch_prob: probability of CutMix if both are enabled, within [0, 1].
        mode: draw the mixing proportion per ``batch``, ``pair`` or ``elem``.
        seed: random seed of proportions and boxes, used if a ``step`` is given.

    Attributes:
        config: the arguments as a plain dict.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> mixup = Mixup(mixup_alpha=0.2, cutmix_alpha=0.0)
        >>> batch = {"image": torch.rand(3, 3, 8, 8), "target": torch.eye(4)[:3], "label": torch.arange(3)}
        >>> mixed = mixup(batch, step=0)
        >>> mixed["target"].shape, bool(torch.allclose(mixed["target"].sum(dim=1), torch.ones(3)))
        (torch.Size([3, 4]), True)
    """

    def __init__(
        self,
        mixup_alpha: float = 0.2,
        cutmix_alpha: float = 1.0,
        prob: float = 1.0,
        switch_prob: float = 0.5,
        mode: str = "batch",
        seed: int = 0,
    ) -> None:
        check_number("mixup_alpha", mixup_alpha, 0)
        check_number("cutmix_alpha", cutmix_alpha, 0)
        check_number("prob", prob, 0, 1)
        check_number("switch_prob", switch_prob, 0, 1)
        if mixup_alpha == 0 and cutmix_alpha == 0:
            raise ValueError("Expected argument `mixup_alpha` or `cutmix_alpha` to be > 0, but got 0 for both.")
        if mode not in ("batch", "pair", "elem"):
            raise ValueError(f"Expected argument `mode` to be one of ('batch', 'pair', 'elem'), but got {mode!r}.")
        self.seed = seed
        self.config = {
            "mixup_alpha": mixup_alpha,
            "cutmix_alpha": cutmix_alpha,
            "prob": prob,
            "switch_prob": switch_prob,
            "mode": mode,
            "seed": seed,
        }
        self._timm = TimmMixup(
            mixup_alpha=mixup_alpha,
            cutmix_alpha=cutmix_alpha,
            prob=prob,
            switch_prob=switch_prob,
            mode=mode,
            label_smoothing=0.0,
        )

    def __call__(self, batch: Mapping[str, Any], step: int | None = None, rank: int = 0) -> dict[str, Any]:
        """Return the batch with mixed ``image`` and ``target``; everything else, including ``label``, is unchanged.

        If the batch has valence and arousal, they are mixed too. A value of a mixture is unknown if that of either face
        is unknown.

        Args:
            batch: ``image`` floating (B,3,H,W), ``target`` (B,K), and optionally ``valence_arousal`` (B,2), NaN where
                unknown. Not modified.
            step: training step. With it, the draw depends only on (seed, step, rank) and is reproducible after
                resuming; without it, NumPy's global random state is used.
            rank: rank of the process, so that ranks draw differently.

        Returns:
            A new batch.

        Raises:
            ValueError: if images or targets are not floating-point tensors, or targets do not have shape (B,K).
        """
        image, target = batch["image"], batch["target"]
        if not image.is_floating_point():
            raise ValueError(
                f"Expected `image` to be a floating-point tensor, as returned by preprocessing, but got {image.dtype}. "
                "Apply mixup after preprocessing."
            )
        if not target.is_floating_point():
            raise ValueError(
                f"Expected `target` to be a floating-point tensor, distributions over classes, but got {target.dtype}."
            )
        if target.ndim != 2 or len(target) != len(image):
            raise ValueError(f"Expected `target` to have shape ({len(image)}, K), but got {tuple(target.shape)}.")
        with _numpy_seed(None if step is None else (self.seed, step, rank)):
            mixed, shares = self._mix(image)
        # Training steps run under autocast, where a product would round targets so that they no longer sum to 1.
        with torch.autocast(target.device.type, enabled=False):
            mixture = {"image": mixed, "target": shares.to(target) @ target}
            if (affect := batch.get("valence_arousal")) is not None:
                gaps = (shares > 0).to(affect) @ affect.isnan().to(affect) > 0
                mixture["valence_arousal"] = (shares.to(affect) @ affect.nan_to_num()).masked_fill(gaps, torch.nan)
        return {**batch, **mixture}

    def _mix(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return mixed images and the weight (B,B) of each sample in each mixture."""
        count = len(image)
        # timm pairs sample i with n-1-i and requires an even n, so an odd batch is padded with a copy of sample 0.
        padded = torch.cat([image, image[:1]]) if count % 2 else image.clone()
        samples = torch.arange(len(padded), device=image.device)
        self._timm.num_classes = len(padded)  # one class per sample, so that the mixed "target" contains the weights
        mixed, shares = self._timm(padded, samples)
        shares = shares.float()
        if count % 2:
            shares[:, 0] += shares[:, count]
        return mixed[:count], shares[:count, :count]


@contextmanager
def _numpy_seed(entropy: tuple[int, ...] | None) -> Iterator[None]:
    """Seed NumPy's global random state, which timm uses, and restore it afterwards."""
    if entropy is None:
        yield
        return
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(np.random.SeedSequence(entropy).generate_state(4))  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002
