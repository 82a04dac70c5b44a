"""Quote strings for Hydra's grammar, in which spaces, brackets, commas and accented letters are special."""

from __future__ import annotations

import re


def quoted(value: str) -> str:
    r"""Quote a string for Hydra's grammar, where a backslash is special only before a quote.

    Example:
        >>> print(quoted("my photo (1).jpg"), quoted("C:\\it's"), quoted("C:\\faces\\"))
        'my photo (1).jpg' 'C:\it\'s' 'C:\faces\\'
    """
    escaped = re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), value)
    return f"'{escaped}'"
