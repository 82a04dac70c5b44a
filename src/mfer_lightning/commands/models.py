"""``mfer models``: list the trained models with their results. Does not import torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from mfer_lightning.config.compose import run_verb


def main(arguments: Sequence[str]) -> int:
    """Run ``mfer models``.

    Args:
        arguments: the command-line arguments after ``models``.

    Returns:
        Exit code: 0, or 1 if one of several jobs of a sweep failed.
    """
    words = ["json=true" if a == "--json" else a for a in arguments]
    # Hydra would read `dataset=` as a choice of conf/dataset, whose files are for training
    return run_verb("models", _models, [f"trained_on={a[8:]}" if a.startswith("dataset=") else a for a in words])


def _models(config: dict[str, Any]) -> int:
    from mfer_lightning.reporting.model_list import models
    from mfer_lightning.reporting.terminal.models import print_models

    found = models(config["runs"], trained_on=config["trained_on"])
    if config["json"]:
        print(json.dumps([model.to_dict() for model in found], indent=2, ensure_ascii=False))
    else:
        print_models(found, trained_on=config["trained_on"])
    return 0
