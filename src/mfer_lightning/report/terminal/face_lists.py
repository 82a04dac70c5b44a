"""Print the accuracy on a user's lists of faces and on all others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape


def print_lists(lists: Mapping[str, Any], console: Console) -> None:
    """Print a line a list.

    Args:
        lists: name -> figures of :func:`mfer_lightning.analysis.face_lists.list_figures`.
        console: where to print.
    """
    for name, figures in lists.items():
        subset, rest = figures["subset"], figures["rest"]
        words = f"{name}: {said(subset['accuracy'], subset['low'], subset['high'])} on {subset['n']:,} faces"
        if rest is not None:
            words += f", {said(rest['accuracy'], rest['low'], rest['high'])} on the other {rest['n']:,}"
        console.print(escape(words))


def said(value: float, low: float, high: float) -> str:
    """Write a share with its interval, in per cent."""
    return f"{100 * value:.1f}% ({100 * low:.1f} to {100 * high:.1f})"
