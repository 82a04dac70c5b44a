"""``mfer demo``: a local web page on which a trained model looks at photos."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mfer_lightning.config.compose import run_verb
from mfer_lightning.errors import UserError


def main(arguments: Sequence[str]) -> int:
    """Run ``mfer demo`` until it is stopped by Ctrl-C.

    Args:
        arguments: the command line after the verb.

    Returns:
        Exit code 0.
    """
    if any(a in ("-m", "--multirun") for a in arguments):
        raise UserError("mfer demo shows one page: give one checkpoint, without -m.")
    return run_verb("demo", _demo, arguments)


def _demo(config: dict[str, Any]) -> int:
    port = config["port"]
    if port is not None and not 1 <= port <= 65535:
        raise UserError(f"port={port}: the value must be from 1 to 65535, or null for the first free one.")
    if config["max_pixels"] < 1:
        raise UserError(f"max_pixels={config['max_pixels']}: the value must be at least 1.")
    from mfer_lightning.demo.server import serve
    from mfer_lightning.inference.load import load_model

    serve(
        load_model(config["checkpoint"], config["device"]),
        host=config["host"],
        port=port,
        explain=config["explain"],
        max_pixels=config["max_pixels"],
        open_browser=config["open"],
    )
    return 0
