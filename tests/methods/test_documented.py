"""``docs/methods.md`` names every method, its options and its recipes, which build as documented."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from config.test_compose import composed

from mfer_lightning.config.location import choices
from mfer_lightning.training.checks import check_config
from mfer_lightning.training.checks.trial_build import build_on_trial

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
#: Recipes of methods; those of networks are on another page.
FIELD = [
    name
    for name in choices("experiment")
    if name in ("field/common_methods", *(f"field/{m}" for m in choices("method")))
]


@pytest.mark.parametrize("name", choices("method"))
def test_every_method_and_option_is_documented_with_its_value(name: str) -> None:
    assert f"| `{name}` |" in PAGE
    node = yaml.safe_load((ROOT / "conf" / "method" / f"{name}.yaml").read_text())
    for option, value in node.items():
        if option in ("name", "_target_", "teachers"):
            continue
        row = next(line for line in PAGE.splitlines() if line.startswith("| `") and f"`{option}`" in line)
        assert f"{value:g}" in row, f"{option}: {row}"


@pytest.mark.slow  # builds whole networks, without allocating memory
@pytest.mark.parametrize("name", FIELD)
def test_every_literature_recipe_builds_and_is_documented(name: str) -> None:
    config = composed(f"experiment={name}", "weights=none")
    check_config(config)
    build_on_trial(config)
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |"))
    batch, epochs = config["loader"]["batch_size"], config["trainer"]["max_epochs"]
    assert f" {batch} |" in row
    assert f" {epochs} |" in row
    assert config["optimizer"]["name"] == "adam"
    assert config["loss"]["classification"]["label_smoothing"] == 0
    method = name.removeprefix("field/")
    assert config["method"]["name"] == ("baseline" if method == "common_methods" else method)
