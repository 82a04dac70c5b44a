"""Check each row of docs/coming_from.md: commands compose, and calls match the signatures of their functions."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser

import mfer_lightning
import mfer_lightning.data
import mfer_lightning.optim
from mfer_lightning.cli import _run, split_verb
from mfer_lightning.config.compose import compose_train
from mfer_lightning.config.flags import split_flags
from mfer_lightning.training.checks import check_config
from mfer_lightning.training.checks.combinations import check_combinations
from mfer_lightning.training.checks.values import check_values

PAGE = Path(__file__).parents[1] / "docs" / "coming_from.md"
ROWS = re.findall(r"^\| (?!There|---)(.+?) \| `(.+)` \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
COMMANDS = [here for _, here in ROWS if here.split()[0] == "mfer"]
CALLS = [here for _, here in ROWS if here.split()[0] != "mfer"]


def test_page_has_commands_and_calls() -> None:
    assert len(COMMANDS) > 60
    assert len(CALLS) >= 10
    assert len(ROWS) == len(re.findall(r"^\| (?!There|---)", PAGE.read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("command", COMMANDS)
def test_command_has_the_documented_effect(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    verb, rest = split_verb(shlex.split(command)[1:])
    if verb != "train":
        assert _run([verb, *rest, "--cfg", "job"]) == 0
        printed = capsys.readouterr().out
        for word in rest:
            name, _, value = word.partition("=")
            assert re.search(rf"^{name}(_name)?: {re.escape(value)}$", printed, re.MULTILINE)
        return
    flags, overrides = split_flags(rest)
    parsed = OverridesParser.create().parse_overrides(overrides)
    jobs = BasicSweeper.split_arguments(parsed, None)[0] if "-m" in flags else [overrides]
    for job in jobs:
        config = compose_train([o for o in job if not o.startswith("sweep=")])
        check_values(config)
        check_combinations(config)
    if "trainer=ddp" not in command:
        check_config(config)


class _Names(dict[str, Any]):
    """Find a name used on the page in the package."""

    def __missing__(self, name: str) -> Any:
        homes = (mfer_lightning, mfer_lightning.data, mfer_lightning.optim)
        return next(getattr(home, name) for home in homes if hasattr(home, name))


@pytest.mark.parametrize("call", CALLS)
def test_call_matches_the_function_signature(call: str) -> None:
    tree = ast.parse(call, mode="eval").body
    assert isinstance(tree, ast.Call)
    arguments = [ast.literal_eval(a) for a in tree.args]
    options = {str(k.arg): ast.literal_eval(k.value) for k in tree.keywords}
    inspect.signature(_function(tree.func)).bind(*arguments, **options)


def _function(node: ast.expr) -> Any:
    """Resolve a call; methods of a call's result are looked up in its annotated return class."""
    if isinstance(node, ast.Attribute):
        owner = node.value
        if isinstance(owner, ast.Call):
            returned = get_type_hints(_function(owner.func))["return"]
            return getattr(returned(None), node.attr) if returned is None else _bound(getattr(returned, node.attr))
        return getattr(_function(owner), node.attr)
    assert isinstance(node, ast.Name)
    return _Names()[node.id]


def _bound(method: Any) -> Any:
    """A method without ``self``."""
    signature = inspect.signature(method)
    found = type("Bound", (), {"__call__": method})()
    found.__signature__ = signature.replace(parameters=list(signature.parameters.values())[1:])
    return found
