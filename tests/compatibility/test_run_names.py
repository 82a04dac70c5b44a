"""Run folders are found again: the same command names the same run in every later version.

``files/run_names.json`` holds the names of 123 commands as the first version gave them, and
``files/first_options.json`` the options that its runs had. Since then defaults have changed (``former_defaults.py``):
the same commands give these names with the former values, and those in ``files/run_names_since.json`` without them.
"""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from compatibility.former_defaults import FORMER, FORMER_SCRIPT, with_former_defaults
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from mfer_lightning.config.former_names import OPTIONS, override_of_today
from mfer_lightning.config.location import choices, config_dir, groups
from mfer_lightning.config.schema import Train, register
from mfer_lightning.sweeps.identity import IRRELEVANT, LATER, run_name

FILES = Path(__file__).parent / "files"
NAMES: dict[str, str] = json.loads((FILES / "run_names.json").read_text())
SINCE: dict[str, str] = {**NAMES, **json.loads((FILES / "run_names_since.json").read_text())}


#: Composed in tests/config/test_compose.py, where their names are compared as well.
SINGLE_CHOICES = {f"{group}={name}" for group in groups() for name in choices(group)}


def test_commands_of_the_first_version_keep_their_run_names() -> None:
    assert len(NAMES) == 123
    rest = [command for command in NAMES if command not in SINGLE_CHOICES]
    register("train_schema")
    found, since = {}, {}
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        for command in rest:
            config: Any = OmegaConf.to_container(compose("train", command.split()), resolve=True)
            found[command] = run_name(with_former_defaults(config, command))
            since[command] = run_name(config)
    assert found == {command: NAMES[command] for command in rest}
    assert since == {command: SINCE[command] for command in rest}


@pytest.mark.parametrize(
    ("command", "former"),
    [
        ("dataset=facs", FORMER),
        ("attention=none", ()),
        ("experiment=paper/rafdb_script", (*FORMER, *FORMER_SCRIPT)),
        ("experiment=ferplus_ablation/full_dsf", ()),
        ("experiment=facs_studies", ()),
    ],
)
def test_former_defaults_on_the_command_line_keep_the_former_run_name(command: str, former: tuple[str, ...]) -> None:
    register("train_schema")
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        config: Any = OmegaConf.to_container(compose("train", [*command.split(), *former]), resolve=True)
    assert run_name(config) == NAMES[command]
    assert (SINCE[command] == NAMES[command]) == (not former)


#: Names of commands with the options that augmentations had before their transforms were listed in ``conf/augment``.
OLDER_AUGMENTATIONS = {
    "augment=standard +augment.rotate=20": "facs-convnext_tiny-ds-dsf-s0-ec6b1a51",
    "augment=standard +augment.flip=0.3": "facs-convnext_tiny-ds-dsf-s0-b0ecdf01",
    "augment=paper +augment.flip=0.3": "facs-convnext_tiny-ds-dsf-s0-dfc3a276",
    "augment=none +augment.flip=0.2 +augment.contrast=0.1": "facs-convnext_tiny-ds-dsf-s0-79a80c28",
    "augment=strong +augment.transforms=[{name:ToGray,p:0.2}]": "facs-convnext_tiny-ds-dsf-s0-eb7a8f12",
    "augment=strong +augment.flip=0 +augment.scale=0": "facs-convnext_tiny-ds-dsf-s0-212d56ab",
}


def test_older_augmentation_options_keep_their_run_names() -> None:
    register("train_schema")
    found = {}
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        for command in OLDER_AUGMENTATIONS:
            overrides = [override_of_today(word) for word in (*command.split(), *FORMER)]
            found[command] = run_name(OmegaConf.to_container(compose("train", overrides), resolve=True))
    assert found == OLDER_AUGMENTATIONS


def options(schema: Any, prefix: str = "") -> set[str]:
    """The dotted names of the options of a schema."""
    found = set()
    for option in fields(schema):
        inner = option.default_factory
        found |= options(inner, f"{prefix}{option.name}.") if is_dataclass(inner) else {prefix + option.name}
    return found


def test_new_option_does_not_change_older_run_names() -> None:
    """Add a new option to ``LATER``, with the value that does not change runs, or to ``IRRELEVANT``."""
    first = set(json.loads((FILES / "first_options.json").read_text()))
    listed = (*LATER, *IRRELEVANT, *OPTIONS.values())  # a renamed option is hashed under its first name
    unlisted = {name for name in options(Train) - first if not any(f"{name}.".startswith(f"{i}.") for i in listed)}
    assert not unlisted, test_new_option_does_not_change_older_run_names.__doc__
    assert first <= options(Train), "an option that old runs name is gone"
