"""Process options that are paths: preserve special characters, and expand environment variables and ``~``."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf.errors import GrammarParseError
from omegaconf.grammar_parser import parse

from mfer_lightning.config.path_quoting import quoted

#: Options of any command that are a path or a list of paths; ``*`` stands for any name.
PATHS = (
    "callbacks.*.dirpath",
    "callbacks.*.filename",
    "checkpoint",
    "contrasts",
    "dataset.exclude",
    "dataset.relabel",
    "dataset.root",
    "dataset.table",
    "detector.model",
    "hydra.sweep.dir",
    "keep",
    "lists.*",
    "method.teachers",
    "output",
    "paths.*",
    "predictions",
    "runs",
    "shared",
    "sheet",
    "source",
    "weights",
)

#: Text options whose values are quoted like paths, but not expanded.
TEXTS = ("baseline", "title")

#: Paths that are part of the hash in run names: here, ``~`` is expanded only when files are read.
_IN_NAMES = ("dataset.exclude", "dataset.relabel", "dataset.root", "paths.data", "weights")

_QUOTED = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"", re.DOTALL)
_FUNCTION = re.compile(r"(?:choice|glob|interval|range|shuffle|sort|tag)\(.*\)", re.DOTALL)
_VARIABLE = re.compile(r"\$\{([A-Z_][A-Z0-9_]*)\}")


def is_path(option: str) -> bool:
    """Whether an option is a path.

    Example:
        >>> is_path("paths.data"), is_path("callbacks.timer.dirpath"), is_path("seed")
        (True, True, False)
    """
    return any(fnmatchcase(option, pattern) for pattern in PATHS)


def quote_paths(overrides: Sequence[str], several: bool = False) -> list[str]:
    """Quote the values of path options that Hydra's grammar would misinterpret.

    Values that the user has quoted and ``null`` are unchanged. A value in brackets is a list of paths separated by
    commas, unless a file with this name exists.

    Args:
        overrides: ``key=value``, after the command and without flags.
        several: whether commas outside of quotes separate the values of a sweep (``-m``).

    Returns:
        The overrides, for Hydra.

    Example:
        >>> quote_paths(["source=my faces, v=2 [a]", "seed=1", "checkpoint=epoch=3.ckpt"])
        ["source='my faces, v=2 [a]'", 'seed=1', "checkpoint='epoch=3.ckpt'"]
        >>> quote_paths(["dataset.root=my a,~/b"], several=True)
        ["dataset.root=my a,'~/b'"]
    """
    return [_quoted(override, several) for override in overrides]


def expand(text: str) -> str:
    """Expand environment variables and ``~``; unset variables are left unchanged.

    Example:
        >>> import os
        >>> os.environ["MFER_FACES"] = "/data"
        >>> expand("$MFER_FACES/faces"), expand("$MFER_NOT_SET/faces")
        ('/data/faces', '$MFER_NOT_SET/faces')
    """
    return os.path.expanduser(os.path.expandvars(text))  # noqa: PTH111 - Path would turn https:// into https:/


def expand_paths(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Expand the path options of a plain configuration.

    Args:
        config: configuration of any command.
        prefix: prefix of its names.
    """
    return {key: _expanded(value, f"{prefix}{key}") for key, value in config.items()}


def empty_paths(config: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the names of path options that were set to an empty value.

    Args:
        config: configuration of any command.
        prefix: prefix of its names.
    """
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from empty_paths(value, f"{prefix}{key}.")
        elif value == "" and is_path(f"{prefix}{key}"):
            yield f"{prefix}{key}"


def _expanded(value: Any, option: str) -> Any:
    if isinstance(value, Mapping):
        return expand_paths(value, f"{option}.")
    if not is_path(option):
        return value
    if isinstance(value, list):
        return [_expanded(item, option) for item in value]
    if not isinstance(value, str):
        return value
    return os.path.expandvars(value) if option in _IN_NAMES else expand(value)


def _quoted(override: str, several: bool) -> str:
    key, equals, value = override.partition("=")
    option = key.lstrip("+")
    if not equals or not (is_path(option) or option in TEXTS) or (several and _FUNCTION.fullmatch(value)):
        return override
    values = _parts(value) if several else [value]
    return f"{key}={','.join(_list(part) for part in values)}"


def _list(value: str) -> str:
    """Quote one path, or each path of a list in brackets."""
    if not (value[:1] == "[" and value[-1:] == "]") or os.path.exists(value):  # noqa: PTH110 - Path raises for long names
        return _text(value)
    return f"[{','.join(map(_text, _parts(value[1:-1])))}]" if value[1:-1].strip() else value


def _text(value: str) -> str:
    if not value or value.lower() == "null" or _QUOTED.fullmatch(value):
        return value
    text = _VARIABLE.sub(r"${oc.env:\1}", value)
    if "${" in text:
        try:
            parse(text)
        except GrammarParseError:
            text = text.replace("${", r"\${")
    try:
        if OverridesParser.create().parse_override(f"key={text}").value() == text:
            return text
    except HydraException:
        pass
    return quoted(text)


def _parts(value: str) -> list[str]:
    """Split at commas outside of quotes and brackets."""
    parts, depth, quote = [""], 0, ""
    for place, letter in enumerate(value):
        if quote:
            quote = "" if letter == quote and value[place - 1] != "\\" else quote
        elif letter in "'\"" and not parts[-1].strip():  # within a path, it is an apostrophe
            quote = letter
        elif letter in "[]" and parts[-1].strip()[:1] in ("", "["):  # within a path, it is a bracket
            depth += 1 if letter == "[" else -1
        elif letter == "," and depth <= 0:
            parts.append("")
            continue
        parts[-1] += letter
    return [part.strip() for part in parts]
