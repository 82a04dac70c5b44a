"""Write values in Hydra's grammar, in which spaces, brackets, commas and accented letters are special."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any


def quoted(value: str) -> str:
    r"""Quote a string for Hydra's grammar, where a backslash is special only before a quote.

    Example:
        >>> print(quoted("my photo (1).jpg"), quoted("C:\\it's"), quoted("C:\\faces\\"))
        'my photo (1).jpg' 'C:\it\'s' 'C:\faces\\'
    """
    escaped = re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), value)
    return f"'{escaped}'"


def as_typed(value: Any) -> str:
    """Format a plain value for readers, as on the command line.

    Hydra may read the text as another value, such as the number 1 instead of the string. A string is not quoted, unless
    it is inside a list or mapping and contains characters that are special there.

    Example:
        >>> print(as_typed(None), as_typed(True), as_typed(["a", "b,c"]), as_typed({1: None, "two": "x y"}))
        null true [a,'b,c'] {1:null,two:x y}
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{_inside(key)}:{_inside(item)}' for key, item in value.items())}}}"
    return f"[{','.join(map(_inside, value))}]" if isinstance(value, (list, tuple)) else str(value)


def _inside(value: Any) -> str:
    special = isinstance(value, str) and re.search(r"[,:\[\]{}'\"]", value)
    return quoted(value) if special else as_typed(value)
