"""``mfer report``: summarise finished runs, and test which of their differences are significant."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mfer_lightning.config.compose import run_verb
from mfer_lightning.config.path_quoting import quoted
from mfer_lightning.errors import UserError


def main(arguments: Sequence[str]) -> int:
    """Run ``mfer report``.

    Args:
        arguments: the command-line arguments after ``report``: folders and options.

    Returns:
        Exit code: 0, or 1 if one of several jobs of a sweep failed.
    """
    return run_verb("report", _report, overrides(arguments))


def overrides(arguments: Sequence[str]) -> list[str]:
    """Convert positional arguments (folders) to ``runs=[...]``.

    Raises:
        UserError: if ``runs=`` is given as well.

    Example:
        >>> overrides(["runs/a", "metric=accuracy"])
        ["runs=['runs/a']", 'metric=accuracy']
    """
    folders = [a for a in arguments if not a.startswith("-") and ("=" not in a or Path(a).expanduser().exists())]
    rest = [word for word in arguments if word not in folders]
    if not folders:
        return rest
    if any(word.startswith("runs=") for word in rest):
        raise UserError("Give the folders either as arguments or as runs=[...], not both.")
    return [f"runs=[{','.join(map(quoted, folders))}]", *rest]


def _report(config: dict[str, Any]) -> int:
    from mfer_lightning.reporting.run import report

    report(**config)
    return 0
