"""Replacement of personal folders in published results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mfer_lightning.evaluation.machine_paths import PathRemover, elsewhere, private_folder
from mfer_lightning.reporting.study.axes import flatten
from mfer_lightning.sweeps.identity import config_hash


def config(data: str = "/disk/sets", runs: str = "/disk/sets/runs", **dataset: Any) -> dict[str, Any]:
    return {
        "paths": {"data": data, "runs": runs, "cache": "/fast/cache"},
        "dataset": {"name": "ferplus", "root": f"{data}/ferplus", **dataset},
        "weights": f"{runs}/pre-s0/checkpoints/best.ckpt",
        "seed": 1,
        "optimizer": {"lr": 0.001, "betas": [0.9, 0.999], "eps": None},
    }


def neutral(value: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = PathRemover(value).remove(value)
    return result


def test_paths_become_the_defaults_and_other_values_stay() -> None:
    assert neutral(config()) == {
        "paths": {"data": "data", "runs": "runs", "cache": None},
        "dataset": {"name": "ferplus", "root": "data/ferplus"},
        "weights": "runs/pre-s0/checkpoints/best.ckpt",
        "seed": 1,
        "optimizer": {"lr": 0.001, "betas": [0.9, 0.999], "eps": None},
    }
    assert neutral(neutral(config())) == neutral(config()) == neutral(config(data="data", runs="runs"))


@pytest.mark.parametrize("data", ["/disk/sets", "../sets", "~/sets", "C:\\sets", "data"])
def test_run_names_and_methods_do_not_depend_on_paths(data: str) -> None:
    """Grouping and names of runs do not depend on file locations."""
    whole = config(data=data, runs="runs")
    assert flatten(neutral(whole)) == flatten(whole)
    assert config_hash(neutral(whole)) == config_hash(whole)


def test_dataset_in_another_folder_stays_a_different_dataset() -> None:
    roots = [neutral(config(root=root))["dataset"]["root"] for root in ("/a/ferplus", "/b/ferplus", "/a/ferplus")]
    assert roots[0] == roots[2] != roots[1]
    assert all(root.endswith("/ferplus") and not root.startswith("/") for root in roots)


def test_paths_within_sentences_and_lists_are_replaced_by_whole_names() -> None:
    places = PathRemover(config())
    assert places.remove(["read from /disk/sets/a.csv.", "see /disk/sets2/x and m/disk/sets"]) == [
        "read from data/a.csv.",
        "see /disk/sets2/x and m/disk/sets",
    ]
    assert places.remove("/disk/sets") == "data"
    assert places.remove("~5% of the faces; 3/4") == "~5% of the faces; 3/4"


def test_external_checkpoint_is_named_by_its_run() -> None:
    said = elsewhere("/own/runs/pre-s0/checkpoints/best.ckpt")
    assert said.endswith("/pre-s0/checkpoints/best.ckpt")
    assert "own" not in said
    assert said != elsewhere("/other/runs/pre-s0/checkpoints/best.ckpt")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"a": "/home/ann/sets"}', "/home/ann"),
        ("at /Users/ann/x", "/Users/ann"),
        ('"C:\\\\Users\\\\ann\\\\x"', "C:\\\\Users\\\\ann"),
        ("/root/x", "/root"),
        ("data/root/x, photos/home/ann.jpg, /roots", None),
        ("https://example.org/home/ann", None),
    ],
)
def test_personal_folder_is_detected_in_any_spelling(text: str, found: str | None) -> None:
    assert private_folder(text) == found


def test_home_of_the_current_user_is_detected_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: Path("/nfs/people/ann"))
    assert private_folder("x: /nfs/people/ann/sets") == "/nfs/people/ann"
    assert private_folder("x: /nfs/people/anna/sets") is None
    monkeypatch.setattr(Path, "home", lambda: Path("/"))  # as in some containers; every path begins with it
    assert private_folder("x: /nfs/people/ann/sets") is None
