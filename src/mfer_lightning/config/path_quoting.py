"""Quote paths for Hydra's grammar, in which blanks, brackets, commas and accents have a meaning."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

#: What Hydra takes as it is.
_PLAIN = re.compile(r"[\w./\\:~+@-]*", re.ASCII)


def quoted(value: str) -> str:
    r"""Quote a text for Hydra's grammar.

    Example:
        >>> quoted("my photo (1).jpg")
        "'my photo (1).jpg'"
    """
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def quote_paths(arguments: Sequence[str], options: Collection[str]) -> list[str]:
    """Quote the values of options that are paths, where they need it and the user has not done so.

    In a multirun a comma separates values, so nothing is touched there.

    Args:
        arguments: the command line after the verb.
        options: names of the options that are paths.

    Returns:
        The command line, for Hydra.

    Example:
        >>> quote_paths(["source=my photos/*.jpg", "faces=all"], ["source"])
        ["source='my photos/*.jpg'", 'faces=all']
    """
    if any(a in ("-m", "--multirun") for a in arguments):
        return list(arguments)
    return [_quoted(a) if a.partition("=")[0] in options and "=" in a else a for a in arguments]


def _quoted(argument: str) -> str:
    name, _, value = argument.partition("=")
    if _PLAIN.fullmatch(value) or value[:1] in ("'", '"') or "${" in value:
        return argument
    return f"{name}={quoted(value)}"
