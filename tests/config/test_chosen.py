"""Parts of a run are named by the choices that were typed, and folders of earlier versions keep their names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mfer_lightning.config.chosen import choices_to_keep, name_of
from mfer_lightning.config.location import choices, groups
from mfer_lightning.config.options import group_options
from mfer_lightning.sweeps.identity import config_hash, name_in, run_name, setting_name

CONFIG: dict[str, Any] = {
    "dataset": {"name": "facs"},
    "backbone": {"name": "convnext_tiny"},
    "attention": {"name": "ds"},
    "loss": {"name": "ce"},
    "seed": 0,
}
NAMED = {**CONFIG, "choices": {"backbone": "convnext_64px"}}


@pytest.mark.parametrize("group", [g for g in groups() if "/" not in g])
def test_choice_is_stored_if_its_part_has_another_name(group: str) -> None:
    for choice in choices(group):
        option = group_options(group, choice).get(f"{group}.name")
        if option is None:
            continue
        config = {group: {"name": option.default}}
        kept = choices_to_keep(config, {group: choice}, ())
        assert name_of({**config, "choices": kept}, group) == choice
        assert bool(kept) == (choice != option.default)


def test_typed_names_and_experiments_are_stored() -> None:
    chosen = {"backbone": "convnext_64px", "experiment": "ferplus_small", "debug": None, "hydra/launcher": "basic"}
    assert choices_to_keep(CONFIG, chosen, ()) == {"backbone": "convnext_64px", "experiment": "ferplus_small"}
    other = {**CONFIG, "backbone": {"name": "resnet18d"}}
    assert choices_to_keep(other, {"backbone": "convnext_64px"}, ["backbone.name=resnet18d"]) == {}
    sam = {"optimizer": {"name": "adamw"}}
    assert choices_to_keep(sam, {"optimizer": "sam"}, ()) == {"optimizer": "sam"}
    assert choices_to_keep(sam, {"optimizer": "sam"}, ["optimizer.name=adamw"]) == {}


def test_choices_appear_in_run_names_and_do_not_change_hashes() -> None:
    assert run_name(CONFIG) == f"facs-convnext_tiny-ds-ce-s0-{config_hash(CONFIG)}"
    assert run_name(NAMED) == f"facs-convnext_64px-ds-ce-s0-{config_hash(CONFIG)}"
    assert setting_name(NAMED).startswith("ce convnext_64px ds ")


def test_folder_of_an_earlier_version_keeps_its_name(tmp_path: Path) -> None:
    assert name_in(tmp_path, NAMED) == run_name(NAMED)
    (tmp_path / run_name(CONFIG)).mkdir()
    assert name_in(tmp_path, NAMED) == run_name(CONFIG)
    (tmp_path / run_name(NAMED)).mkdir()
    assert name_in(tmp_path, NAMED) == run_name(NAMED)
