"""Write a number with its noun in the singular or plural: 1 face, 2 faces."""

from __future__ import annotations

import re


def counted(number: int, one: str, many: str | None = None) -> str:
    """Format a number with a noun, or with a phrase that begins with a noun, in the singular or plural.

    Args:
        number: the number, at least 0.
        one: the words after 1, e.g. ``"training face"`` or ``"image has"``.
        many: the words after any other number; None: the plural of ``one``, whose last word must be a regular noun.

    Returns:
        The number, with commas between thousands, and the words.

    Example:
        >>> counted(1, "training face"), counted(1200, "training face"), counted(0, "class"), counted(2, "epoch")
        ('1 training face', '1,200 training faces', '0 classes', '2 epochs')
        >>> counted(1, "image has", "images have"), counted(2, "image has", "images have")
        ('1 image has', '2 images have')
    """
    if number == 1:
        return f"1 {one}"
    return f"{number:,} {_plural(one) if many is None else many}"


def _plural(noun: str) -> str:
    if re.search(r"(s|x|(?<!epo)ch|sh)$", noun):  # two batches, but two epochs
        return f"{noun}es"
    return re.sub(r"(?<=[^aeiou])y$", "ie", noun) + "s"
