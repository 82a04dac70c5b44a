"""Complete and check the options of a backbone.

MFER's released code uses ConvNeXt-Base (Liu et al., CVPR 2022, arXiv 2201.03545) with drop-path 0.25.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mfer_lightning.errors import UserError
from mfer_lightning.nn.backbones.pooling import POOL_WORDS, POOLS
from mfer_lightning.nn.options import Spec, check_options, split

#: Options of a backbone, with their defaults.
DEFAULTS: Mapping[str, Any] = {
    "drop_path_rate": None,
    "stem": "default",
    "stem_stride": None,
    "norm": "layer",
    "pool": "avg",
    "stage_blocks": None,
    "options": {},
}
_STEMS = ("default", "small")
_NORMS = ("layer", "none")
#: MFER's released code trains ConvNeXt-Base with this rate; other models keep timm's default unless overridden.
_PAPER_DROP_PATH = 0.25


def complete(spec: Spec) -> dict[str, Any]:
    """Complete the specification of a backbone. Its name is not checked.

    Args:
        spec: a timm model name, or a mapping with ``name`` and any of ``drop_path_rate``, ``stem``, ``stem_stride``,
            ``norm``, ``pool``, ``stage_blocks``, ``options``.

    Returns:
        A plain dict with all of these options.

    Raises:
        UserError: for an unknown option or an illegal value.
    """
    name, given = split("backbone", spec)
    check_options("backbone", name, given, DEFAULTS)
    config = {"name": name, **DEFAULTS, "options": {}, **given}
    if isinstance(config["pool"], str):
        config["pool"] = POOL_WORDS.get(config["pool"], config["pool"])
    for option, legal in (("stem", _STEMS), ("norm", _NORMS), ("pool", POOLS)):
        if config[option] not in legal:
            raise UserError(f"Backbone option `{option}` must be one of {', '.join(legal)}, not {config[option]!r}.")
    if not isinstance(config["options"], dict):
        raise UserError(f"Backbone option `options` must be a mapping, not {config['options']!r}.")
    if config["stem_stride"] is not None and config["stem"] != "small":
        raise UserError("Backbone option `stem_stride` needs `stem: small`.")
    if config["drop_path_rate"] is None and name.split(".")[0] == "convnext_base":
        config["drop_path_rate"] = _PAPER_DROP_PATH
    return config
