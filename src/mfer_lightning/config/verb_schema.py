"""Derive the option types of every command but ``train`` from the command's YAML file.

``conf/<command>.yaml`` lists every option with its default. The type of an option is that of its default; :data:`TYPES`
defines the types of options whose default is null.
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

# OmegaConf reads these annotations at run time; Optional is supported on every Python version that we support.
# ruff: noqa: UP045

#: Types of options whose default is null, by name; all others are text or null.
TYPES: Mapping[str, Any] = {
    **dict.fromkeys(
        ("batch_size", "eval_batch_size", "gemm", "limit", "port", "size", "stage", "threads", "workers"), Optional[int]
    ),
    **dict.fromkeys(("seconds", "shift"), Optional[float]),
    "flip": Optional[bool],
    "kinds": Optional[list[str]],
    "rows": Optional[list[int]],
    "runs": Any,
    "uncertain": Any,
}
#: Options that accept more than the type of their default.
_WIDER: Mapping[str, Any] = {"baselines": Any, "batch": Any, "compile": Any, "fps": Optional[float], "parts": Any}

#: Options with this type in one command only.
_IN_VERB: Mapping[tuple[str, str], Any] = {
    ("evaluate", "checkpoint"): Any,
    ("evaluate", "datasets"): list[Any],
    ("models", "runs"): Any,
    ("data", "checkpoint"): Any,
}

#: Mappings that may contain arbitrary names, from detectors, timm and users.
_FREE = ("detector", "lists", "options")


@cache
def verb_schema(verb: str) -> type:
    """Create the dataclass of a command's options.

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
    """Return the type and the default of an option, as required by dataclasses."""
    if default == "???":
        return str, field(default=MISSING)
    if isinstance(default, Mapping) and name not in _FREE:
        inner = _dataclass(name, default)
        return inner, field(default_factory=inner)
    if isinstance(default, (Mapping, list)):
        kind = dict[str, Any] if isinstance(default, Mapping) else list[str]
        return kind, field(default_factory=lambda: copy(default))
    if default is None or str(default).endswith(",null}"):  # from an environment variable that may not be set
        return TYPES.get(name, Optional[str]), field(default=None)
    return _WIDER.get(name, type(default)), field(default=default)
