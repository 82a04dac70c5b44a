"""Every choice of every group composes, with the documented precedence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from compatibility.former_defaults import with_former_defaults
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import OmegaConf

from mfer_lightning.callbacks import History
from mfer_lightning.config.compose import compose_train
from mfer_lightning.config.location import choices, config_dir, groups
from mfer_lightning.config.schema import register
from mfer_lightning.sweeps.identity import run_name
from mfer_lightning.training.build_trainer import build_callbacks, build_trainer
from mfer_lightning.training.checks import check_config
from mfer_lightning.training.checks.trial_build import build_on_trial

FILES = Path(__file__).parents[1] / "compatibility" / "files"
#: Command -> the name of its run in the first version; for other commands see tests/compatibility/test_run_names.py.
NAMES = json.loads((FILES / "run_names.json").read_text())
#: The same with the current defaults.
SINCE = {**NAMES, **json.loads((FILES / "run_names_since.json").read_text())}
ALL = [(group, name) for group in groups() for name in choices(group)]


def composed(*overrides: str) -> dict:
    register("train_schema")
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        config = OmegaConf.to_container(compose("train", list(overrides)), resolve=True, throw_on_missing=True)
    assert isinstance(config, dict)
    return config


@pytest.mark.parametrize(("group", "name"), ALL, ids=[f"{g}={n}" for g, n in ALL])
def test_every_choice_composes_and_keeps_its_run_name(group: str, name: str) -> None:
    config = composed(f"{group}={name}")
    former = run_name(with_former_defaults(config, f"{group}={name}"))
    assert former == NAMES.get(f"{group}={name}", former)
    assert run_name(config) == SINCE.get(f"{group}={name}", run_name(config))
    if group in ("callbacks", "metrics"):
        assert config[group][name]["_target_"]
    elif group not in ("experiment", "debug", "trainer", "sweep", "launcher"):
        assert config[group]["name"]


@pytest.mark.parametrize("name", choices("experiment"))
def test_experiment_composes_with_sweep_overrides(name: str) -> None:
    assert composed(f"experiment={name}", "seed=3", "loss=lgm")["loss"]["name"] == "lgm"


def test_paper_network_is_the_default_for_real_datasets() -> None:
    config = composed("dataset=affectnet8", "loss=dsf")
    assert config["backbone"] == {
        "name": "convnext_base",
        "drop_path_rate": 0.25,
        "stem": "default",
        "stem_stride": None,
        "norm": "layer",
        "pool": None,
        "stage_blocks": None,
        "options": {},
    }
    assert config["preprocess"]["size"] == 224
    assert config["attention"]["name"] == "ds"
    assert config["attention"]["stages"] == [3, 4]
    assert config["head"] == {"name": "multiscale", "groups": 4, "scales": 3, "grouping": "prefix"}
    assert config["loss"]["classification"]["label_smoothing"] == 0.1


def test_built_in_dataset_selects_a_small_network_with_the_paper_parts() -> None:
    config = composed()
    assert config["dataset"]["name"] == "facs"
    assert config["preprocess"]["size"] == 64
    assert config["backbone"]["name"].startswith("convnext")
    assert (config["attention"]["name"], config["head"]["name"], config["loss"]["name"]) == ("ds", "multiscale", "dsf")


def test_command_line_overrides_experiment_and_experiment_overrides_dataset() -> None:
    assert composed("dataset=facs")["backbone"]["options"]["dims"] == [32, 64, 96, 160]
    assert composed("experiment=ferplus_small")["backbone"]["name"] == "resnet18"
    assert composed("experiment=ferplus_small", "dataset=facs")["backbone"]["name"] == "resnet18"
    config = composed("experiment=ferplus_small", "backbone=convnext_tiny", "optimizer.lr=0.5")
    assert config["backbone"]["name"] == "convnext_tiny"
    assert config["optimizer"]["lr"] == 0.5


def test_timm_constructor_options_can_be_set() -> None:
    config = composed("dataset=ferplus", "backbone=convnext_tiny", "backbone.options={depths:[1,1,1,1],dims:[8,8,8,8]}")
    assert config["backbone"]["options"] == {"depths": [1, 1, 1, 1], "dims": [8, 8, 8, 8]}


@pytest.mark.parametrize(
    "override",
    ["trainer.max_epochs=abc", "seed=x", "loader.batch_size=2.5", "trainer.max_epoch=3", "optimizer.lr=fast"],
)
def test_wrong_types_and_names_do_not_compose(override: str) -> None:
    with pytest.raises(HydraException):
        composed(override)


def test_every_config_file_starts_with_a_description() -> None:
    for path in config_dir().rglob("*.yaml"):
        lines = path.read_text(encoding="utf-8").splitlines()
        comments = [line for line in lines[:3] if line.startswith("# ") and "@package" not in line]
        assert comments, f"{path.name} has no comment at its head"
        yaml.safe_load("\n".join(lines))


@pytest.mark.parametrize(
    ("group", "name"),
    [(g, n) for g, n in ALL if g in ("early_stopping", "freeze", "debug")],
    ids=lambda part: str(part),
)
def test_training_loop_options_can_be_built(group: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "weights.pth").touch()
    config = composed(f"{group}={name}", *((f"weights={tmp_path}/weights.pth",) if name == "backbone" else ()))
    check_config(config)
    build_on_trial(config)
    build_trainer(config, tmp_path, "accuracy", History(tmp_path / "metrics.csv"))
    kinds = {type(c).__name__ for c in build_callbacks(config, tmp_path, "accuracy", History(tmp_path / "metrics.csv"))}
    assert ("EarlyStop" in kinds) is (group == "early_stopping" and name != "none")
    assert ("FreezeBackbone" in kinds) is (group == "freeze" and name != "none")


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "resnet18d", "regnety_002"])
def test_changing_the_backbone_drops_the_options_of_the_previous_one(name: str) -> None:
    backbone = compose_train(["dataset=facs", f"backbone.name={name}", "attention=none"])["backbone"]
    assert (backbone["name"], backbone["options"]) == (name, {})
