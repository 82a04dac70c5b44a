"""The folders of runs that a command line names."""

from __future__ import annotations

from typing import Any

from mfer_lightning.errors import UserError


def run_folders(runs: Any, one: str) -> list[str]:
    """Read the option ``runs``: one folder or a list of them.

    Args:
        runs: the option's value.
        one: how a single folder is said on this verb's command line, for the message.

    Raises:
        UserError: where it names no folder.
    """
    if isinstance(runs, str) and runs:
        return [runs]
    if isinstance(runs, list) and runs and all(isinstance(folder, str) and folder for folder in runs):
        return list(runs)
    raise UserError(f"Say which runs: {one}<a sweep, a run or a folder of runs>, or runs=[<folder>,<folder>].")
