"""`logger=` chooses loggers; building them has no side effects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mfer_lightning.errors import UserError
from mfer_lightning.tracking.loggers import build_loggers
from mfer_lightning.tracking.names import run_group
from mfer_lightning.tracking.wandb_run import RunWandbLogger


def config(runs: Path, **logger: Any) -> dict[str, Any]:
    options = {"project": "p", "entity": None, "mode": "offline", "images": True, "checkpoints": True}
    return {
        "paths": {"runs": str(runs)},
        "logger": {**options, **logger},
        **{node: {"name": node} for node in ("dataset", "loss", "attention")},
        "backbone": {"name": "b" * 70},
    }


@pytest.mark.parametrize("name", ["csv", "none"])
def test_metrics_csv_needs_no_logger(name: str, tmp_path: Path) -> None:
    assert build_loggers(config(tmp_path, name=name), tmp_path / "run") == []


def test_tags_are_valid_for_wandb_and_no_files_are_written(tmp_path: Path) -> None:
    (logger,) = build_loggers(config(tmp_path, name="wandb"), tmp_path / "sweep" / "run")
    assert isinstance(logger, RunWandbLogger)
    assert logger._wandb_init["tags"] == ["dataset", "loss", "b" * 64, "attention"]
    assert logger._wandb_init["group"] == "sweep"
    assert not list(tmp_path.iterdir())


def test_sweep_is_a_group_and_a_single_run_has_none_also_after_a_move(tmp_path: Path) -> None:
    settings = config(tmp_path / "runs")
    assert run_group(settings, tmp_path / "runs" / "a") is None
    assert run_group(settings, tmp_path / "runs" / "sweep" / "a") == "sweep"
    assert run_group(settings, tmp_path / "elsewhere" / "runs" / "a") is None
    assert run_group(settings, tmp_path / "elsewhere" / "sweep" / "a") == "sweep"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "wandbb"}, "did you mean 'wandb'"),
        ({"name": "wandb", "mode": "on"}, "logger.mode=on"),
        ({"name": "wandb", "project": ""}, "logger.project is empty"),
    ],
)
def test_invalid_options_raise_one_clear_error(options: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=words):
        build_loggers(config(tmp_path, **options), tmp_path / "run")


def test_missing_tensorboard_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"mfer_lightning\[tensorboard\]"):
        build_loggers(config(tmp_path, name="tensorboard"), tmp_path / "run")
