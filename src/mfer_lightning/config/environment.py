"""Set environment variables temporarily."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def restored(*names: str) -> Iterator[None]:
    """Restore environment variables after the block.

    Args:
        names: names of the variables.

    Example:
        >>> with restored("MFER_EXAMPLE"):
        ...     os.environ["MFER_EXAMPLE"] = "1"
        >>> "MFER_EXAMPLE" in os.environ
        False
    """
    before = {name: os.environ.get(name) for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
