"""``mfer demo``: serve a local web page that runs a trained model on photos."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mfer_lightning.config.compose import run_verb
from mfer_lightning.errors import UserError


def main(arguments: Sequence[str]) -> int:
    """Run ``mfer demo`` until it is stopped by Ctrl-C.

    Args:
        arguments: the command-line arguments after ``demo``.

    Returns:
        Exit code: 0.
    """
    if any(a in ("-m", "--multirun") for a in arguments):
        raise UserError("mfer demo does not support -m: give one checkpoint.")
    return run_verb("demo", _demo, arguments)


def _demo(config: dict[str, Any]) -> None:
    from mfer_lightning.demo.server import serve

    serve(config.pop("checkpoint"), open_browser=config.pop("open"), **config)
