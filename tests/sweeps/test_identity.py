"""Runs are named by their configuration, and never change a finished run."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest

from mfer_lightning.config.augment_forms import presets
from mfer_lightning.errors import UserError
from mfer_lightning.sweeps.identity import claim_run_dir, config_hash, run_name, sweep_name

CONFIG = {
    "dataset": {"name": "facs", "root": "here"},
    "backbone": {"name": "convnext_atto"},
    "attention": {"name": "ds"},
    "loss": {"name": "dsf"},
    "trainer": {"max_epochs": 3, "devices": 1, "accelerator": "cpu", "profiler": None, "overfit_batches": 0},
    "freeze": {"name": "none", "epochs": None},
    "early_stopping": {"name": "none", "patience": 10},
    "loader": {"batch_size": 8, "num_workers": 0},
    "logger": {"name": "csv"},
    "paths": {"runs": "runs"},
    "seed": 0,
}


def changed(dotted: str, value: object) -> dict:
    config: dict = copy.deepcopy(CONFIG)
    *parents, leaf = dotted.split(".")
    node = config
    for parent in parents:
        node = node[parent]
    node[leaf] = value
    return config


@pytest.mark.parametrize(
    ("dotted", "value"),
    [
        ("paths.runs", "x"),
        ("trainer.devices", 2),
        ("loader.num_workers", 4),
        ("trainer.profiler", "simple"),
        ("logger.name", "wandb"),
    ],
)
def test_paths_loggers_and_hardware_do_not_change_the_hash(dotted: str, value: object) -> None:
    assert config_hash(changed(dotted, value)) == config_hash(CONFIG)


@pytest.mark.parametrize(
    ("dotted", "value"),
    [
        ("seed", 1),
        ("trainer.max_epochs", 4),
        ("trainer.overfit_batches", 2),
        ("loader.batch_size", 16),
        ("loss.name", "ce"),
        ("freeze.epochs", 5),
        ("early_stopping.patience", 3),
    ],
)
def test_options_that_change_the_result_change_the_hash(dotted: str, value: object) -> None:
    assert config_hash(changed(dotted, value)) != config_hash(CONFIG)


def test_new_option_changes_the_hash_only_if_used() -> None:
    older = changed("evaluation", {"flip": False})
    assert config_hash(changed("evaluation", {"flip": False, "shift": 0.0})) == config_hash(older)
    assert config_hash(changed("evaluation", {"flip": False, "shift": 0.02})) != config_hash(older)


STANDARD = {"name": "standard", **presets()["standard"]}
BLUR, NOISE = ({"_target_": f"albumentations.{name}", "p": 0.5} for name in ("GaussianBlur", "GaussNoise"))


@pytest.mark.parametrize("name", presets())
def test_augmentation_preset_keeps_the_hash_of_its_name(name: str) -> None:
    assert config_hash(changed("augment", {"name": name, **presets()[name]})) == config_hash(
        changed("augment", {"name": name})
    )


def test_older_augmentation_options_keep_their_hash_and_other_pipelines_get_new_ones() -> None:
    older = config_hash(changed("augment", {"name": "standard", "flip": 0.3, "rotate": 20}))
    assert config_hash(changed("augment", {**STANDARD, "flip": 0.3, "rotate": 20})) == older
    warp, light = STANDARD["warp"], STANDARD["light"]
    others = [
        {**STANDARD, "flip": {**STANDARD["flip"], "p": 0}},
        {**STANDARD, "flip": None},
        {**STANDARD, "blur": BLUR},
        {**STANDARD, "blur": BLUR, "noise": NOISE},
        {**STANDARD, "noise": NOISE, "blur": BLUR},
        {"name": "standard", "flip": STANDARD["flip"], "light": light, "warp": warp},
        {"name": "mine", "flip": STANDARD["flip"], "light": light, "warp": warp},
    ]
    hashes = [config_hash(changed("augment", node)) for node in (*others, {"name": "standard"})]
    assert len({*hashes, older}) == len(others) + 2


ARCHIVES = sorted((Path(__file__).parents[2] / "studies").rglob("runs.npz"))


@pytest.mark.parametrize("archive", ARCHIVES, ids=lambda path: path.parent.name)
def test_folders_of_archived_runs_are_still_found(archive: Path) -> None:
    with np.load(archive, allow_pickle=False) as file:
        runs = [run for run in json.loads(file["index.json"])["runs"] if "metrics" in run]  # no evaluations
    assert runs
    for run in runs:
        config = run["result"]["config"]
        config["evaluation"].setdefault("shift", 0.0)  # as currently composed
        assert config_hash(config) == run["name"].rpartition("-")[2]


def test_another_dataset_folder_changes_the_hash_but_moving_the_data_root_does_not() -> None:
    def at(data: str, root: str) -> str:
        return config_hash({**CONFIG, "paths": {"data": data}, "dataset": {"name": "folder", "root": root}})

    assert at("here", "here/folder") == at("/there", "/there/folder")
    assert at("here", "a") != at("here", "b")


def test_hashing_does_not_modify_the_configuration() -> None:
    before = copy.deepcopy(CONFIG)
    config_hash(CONFIG)
    assert before == CONFIG


def test_run_name_describes_the_run() -> None:
    assert run_name(CONFIG).startswith("facs-convnext_atto-ds-dsf-s0-")


def test_unfinished_run_is_resumed_and_a_finished_one_never_modified(tmp_path: Path) -> None:
    first = claim_run_dir(tmp_path, "a", resume="auto", in_sweep=False)
    assert claim_run_dir(tmp_path, "a", resume="auto", in_sweep=False) == first
    assert claim_run_dir(tmp_path, "a", resume="never", in_sweep=False) == tmp_path / "a.2"
    (first / "result.json").write_text("{}")
    assert claim_run_dir(tmp_path, "a", resume="auto", in_sweep=False) == tmp_path / "a.2"
    (tmp_path / "a.2" / "result.json").write_text("{}")
    assert claim_run_dir(tmp_path, "a", resume="auto", in_sweep=False) == tmp_path / "a.3"
    assert claim_run_dir(tmp_path, "a", resume="auto", in_sweep=True) == first


def test_unwritable_run_folder_raises_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"Cannot write to the run folder .* paths\.runs"):
        claim_run_dir(tmp_path / "file", "a", resume="auto", in_sweep=False)


def test_invalid_resume_lists_the_valid_values(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"auto .*never"):
        claim_run_dir(tmp_path, "a", resume="yes", in_sweep=False)


def test_sweep_name_depends_only_on_its_overrides() -> None:
    name = sweep_name(["-m", "loss=ce,dsf", "seed=0,1"])
    assert sweep_name(["seed=0,1", "loss=ce,dsf", "--multirun", "paths.runs=x", "logger=wandb"]) == name
    assert sweep_name(["loss=ce,dsf", "seed=0,1", "+hydra.launcher.ray.init.num_gpus=2"]) == name
    assert sweep_name(["loss=ce,dsf", "seed=0,1", "+trainer.limit_val_batches=2"]) != name
    assert sweep_name(["-m", "loss=ce", "seed=0,1"]) != name
