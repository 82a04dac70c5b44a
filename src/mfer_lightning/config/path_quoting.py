"""Quote texts for Hydra's grammar, in which blanks, brackets, commas and accents have a meaning."""

from __future__ import annotations

import re


def quoted(value: str) -> str:
    r"""Quote a text for Hydra's grammar, where a backslash means something before a quote only.

    Example:
        >>> print(quoted("my photo (1).jpg"), quoted("C:\\it's"), quoted("C:\\faces\\"))
        'my photo (1).jpg' 'C:\it\'s' 'C:\faces\\'
    """
    escaped = re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), value)
    return f"'{escaped}'"
