"""Types of the options of every verb but ``train``, read off the verb's YAML file.

``conf/<verb>.yaml`` names every option with its default, and an option has the type of its default. Where that does not
say it, :data:`TYPES` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import field, make_dataclass
from functools import cache
from typing import Any, Optional

import yaml
from omegaconf import MISSING

from mfer_lightning.config.location import config_dir

# OmegaConf reads these annotations at run time; Optional is the spelling that it knows on every Python we support.
# ruff: noqa: UP045

#: Types of options whose default is null, by name; of all others it is text, or null.
TYPES: Mapping[str, Any] = {
    **dict.fromkeys(
        ("batch_size", "eval_batch_size", "gemm", "limit", "port", "size", "stage", "threads", "workers"), Optional[int]
    ),
    **dict.fromkeys(("seconds", "shift"), Optional[float]),
    "flip": Optional[bool],
    "kinds": Optional[list[str]],
    "rows": Optional[list[int]],
    "runs": Any,
}
#: Options that take more than what their default is.
_WIDER: Mapping[str, Any] = {"baselines": Any, "batch": Any, "compile": Any, "fps": Optional[float], "parts": Any}

#: Options that have this type in one verb alone.
_IN_VERB: Mapping[tuple[str, str], Any] = {
    ("evaluate", "checkpoint"): Any,
    ("evaluate", "datasets"): list[Any],
    ("data", "checkpoint"): Any,
}

#: Mappings whose names detectors, timm and users give.
_FREE = ("detector", "lists", "options")


@cache
def verb_schema(verb: str) -> type:
    """Make the dataclass of a verb's options.

    Example:
        >>> from dataclasses import fields
        >>> {f.name: f.type for f in fields(verb_schema("demo"))}["port"]
        typing.Optional[int]
    """
    options = yaml.safe_load((config_dir() / f"{verb}.yaml").read_text(encoding="utf-8"))
    return _dataclass(verb, {k: v for k, v in options.items() if k not in ("defaults", "hydra")})


def _dataclass(name: str, options: Mapping[str, Any]) -> type:
    typed = {key: _typed(key, value) for key, value in options.items()}
    return make_dataclass(
        name.capitalize(), [(key, _IN_VERB.get((name, key), kind), default) for key, (kind, default) in typed.items()]
    )


def _typed(name: str, default: Any) -> tuple[Any, Any]:
    """Return the type of an option and its default, as dataclasses take them."""
    if default == "???":
        return str, field(default=MISSING)
    if isinstance(default, Mapping) and name not in _FREE:
        inner = _dataclass(name, default)
        return inner, field(default_factory=inner)
    if isinstance(default, (Mapping, list)):
        kind = dict[str, Any] if isinstance(default, Mapping) else list[str]
        return kind, field(default_factory=lambda: copy(default))
    if default is None or str(default).endswith(",null}"):  # from an environment variable that need not be there
        return TYPES.get(name, Optional[str]), field(default=None)
    return _WIDER.get(name, type(default)), field(default=default)
