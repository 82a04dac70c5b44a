"""The function of a command takes the options of the command line, with the same names and defaults."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from omegaconf import MISSING, OmegaConf

from mfer_lightning import evaluate, export, models, predict, report
from mfer_lightning.align.run import align
from mfer_lightning.analysis.matrix_run import evaluate_matrix
from mfer_lightning.analysis.model_on_split import open_model_on_split
from mfer_lightning.config.verb_schema import verb_schema

#: Groups whose options are separate arguments.
FLAT = ("video", "paths", "evaluation")


def options(schema: type) -> dict[str, Any]:
    """Name -> default of every option, those of flat groups included."""
    found: dict[str, Any] = OmegaConf.to_container(OmegaConf.structured(schema))
    for group in FLAT:
        found |= found.pop(group, {})
    return found


@pytest.mark.parametrize(
    ("verb", "functions", "absent"),
    [
        ("align", (align,), ()),
        ("evaluate", (evaluate, open_model_on_split, evaluate_matrix), ()),
        ("export", (export,), ("runs",)),
        ("models", (models,), ("json",)),
        ("predict", (predict,), ()),
        ("report", (report,), ()),
    ],
)
def test_options_and_arguments_agree(verb: str, functions: tuple[Callable[..., Any], ...], absent: tuple) -> None:
    arguments = {k: v for f in functions for k, v in inspect.signature(f).parameters.items()}
    for name, default in options(verb_schema(verb)).items():
        if name in absent:
            continue
        assert name in arguments
        given = arguments[name].default
        if given not in (inspect.Parameter.empty, None) and default not in (MISSING, None, [], {}):
            assert given == default, name
