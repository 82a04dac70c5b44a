"""Progress bars that disappear when they are done, on terminals and in notebooks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from rich.console import Console
from rich.progress import Progress


def progress_bar(*, quiet: bool = False) -> Progress:
    """Return a progress bar (a context manager) that disappears when it is done.

    Args:
        quiet: if true, show nothing.
    """
    return Progress(transient=True, disable=quiet or not _can_be_shown(Console()))


@contextmanager
def status(words: str, console: Console | None = None) -> Iterator[Callable[[str], None]]:
    """Show a line with a spinner during a slow operation.

    Args:
        words: the text of the line.
        console: where to show it; None: stderr.

    Yields:
        A function that replaces the text.
    """
    console = console or Console(stderr=True)
    if not _can_be_shown(console):
        yield lambda words: None
        return
    with console.status(words) as line:
        yield line.update


def _can_be_shown(console: Console) -> bool:
    """Whether rich can update its output. In Jupyter, rich needs ipywidgets and otherwise warns at each update."""
    return not console.is_jupyter or find_spec("ipywidgets") is not None
