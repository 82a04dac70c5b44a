"""Read timm's data configuration of a model's pre-training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import timm

from mfer_lightning.errors import UserError
from mfer_lightning.nn.backbones import faces  # noqa: F401 - registers the face networks with timm

#: Value that stands for "use timm's data configuration".
OWN = "timm"


def with_own_normalisation(preprocess: Mapping[str, Any], backbone: str) -> dict[str, Any]:
    """Replace ``timm`` as ``mean`` or ``std`` with the values of the backbone's data configuration.

    Args:
        preprocess: options of :class:`~mfer_lightning.nn.preprocess.Preprocess`.
        backbone: name of the timm model.

    Raises:
        UserError: if timm has no data configuration for the model.

    Example:
        >>> with_own_normalisation({"size": 64, "mean": "timm"}, "vit_small_patch16_224")
        {'size': 64, 'mean': [0.5, 0.5, 0.5]}
    """
    options = dict(preprocess)
    for name in ("mean", "std"):
        if options.get(name) == OWN:
            facts = timm.get_pretrained_cfg(backbone)
            if facts is None:
                raise UserError(
                    f"preprocess.{name}=timm: timm has no data configuration for '{backbone}'. Use imagenet, half or "
                    "three numbers."
                )
            options[name] = [float(value) for value in getattr(facts, name)]
    return options
