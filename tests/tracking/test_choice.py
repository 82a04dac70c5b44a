"""The loggers of a configuration and their options, in every format that was ever stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.loggers import CSVLogger

from mfer_lightning.config.compose import compose_train
from mfer_lightning.errors import UserError
from mfer_lightning.tracking.choice import chosen_loggers
from mfer_lightning.tracking.loggers import build_loggers, check_loggers
from mfer_lightning.tracking.run_logger import RunLogger
from mfer_lightning.tracking.tensorboard_run import RunTensorBoardLogger
from mfer_lightning.tracking.wandb_run import RunWandbLogger


def composed(*overrides: str) -> dict[str, dict[str, Any]]:
    return chosen_loggers(compose_train(overrides)["logger"])


def test_oldest_stored_format_is_read() -> None:
    first = {"project": None, "entity": None, "mode": "auto", "images": True, "checkpoints": True}
    assert chosen_loggers({"name": "csv", **first}) == {"csv": {}}
    assert chosen_loggers({"name": "tensorboard", **first}) == {"tensorboard": {"images": True}}
    told = {"project": "p", "mode": "auto", "images": True, "checkpoints": True}
    assert chosen_loggers({"name": "wandb", **first, "project": "p"}) == {"wandb": told}


def test_options_of_one_logger_can_be_given_directly_or_by_name() -> None:
    old = composed("logger=wandb", "logger.project=x", "logger.mode=offline", "logger.entity=y", "logger.images=false")
    new = composed(
        *("logger=wandb", "logger.wandb.project=x", "logger.wandb.mode=offline", "logger.wandb.entity=y"),
        "logger.wandb.images=false",
    )
    assert old == new
    assert (old["wandb"]["project"], old["wandb"]["images"]) == ("x", False)
    assert composed("logger=wandb", "logger.tags=[a,b]")["wandb"]["tags"] == ["a", "b"]
    assert composed("logger.project=x") == {"csv": {}}, "as before: the option of another logger does nothing"
    assert composed("logger=tensorboard", "logger.project=x", "logger.checkpoints=false") == {
        "tensorboard": {"images": True}
    }


def test_several_loggers_are_built_in_order(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    config = compose_train(
        ["logger=[tensorboard,wandb]", "logger.wandb.mode=offline", "logger.tensorboard.flush_secs=5"]
    )
    first, second = build_loggers(config, tmp_path / "run")
    assert isinstance(first, RunTensorBoardLogger)
    assert isinstance(second, RunWandbLogger)
    assert first._kwargs == {"flush_secs": 5}


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["logger=[wandb,tensorboard]", "logger.images=false"], "logger.wandb.images=False or logger.tensorboard.im"),
        (["logger=wandb", "logger.name=pilot"], "The name of the run is set by logger.wandb.name"),
        (["logger.name=wandb"], "choose a logger with logger=wandb"),
        (["logger=[wandb,wnadb]"], "Did you mean 'wandb'"),
        (["logger=wandb", "logger.taggs=[a]"], r"no option `taggs`: did you mean 'tags'.*Options: .*entity, .*group"),
        (["logger=wandb", "logger.tags=a"], "logger.wandb.tags=a"),
        (["logger=wandb", "logger.log_model=some"], "logger.wandb.log_model=some: input should be"),
        (["logger=wandb", "logger.settings={}"], "the package sets what W&B stores and prints"),
        (["logger=wandb", "logger.wandb.id=x"], "stored in the run's folder"),
        (["logger.colour=red"], "logger=csv has no options"),
        (["+logger.x._target_=os.system"], "names `os.system`, which is not allowed: only names"),
        (
            ["+logger.x._target_=lightning.pytorch.loggers.logger.rank_zero_experiment"],
            "which is not allowed: only names",
        ),
        (["+logger.x._target_=lightning.pytorch.loggers.rank_zero_only"], "no such public class"),
        (["+logger.x._target_=lightning.pytorch.loggers._CSV"], "no such public class"),
        (["+logger.x._target_=mfer_lightning.losses.DSFLoss"], "is not a Lightning logger"),
        (["+logger.x._target_=lightning.pytorch.callbacks.Timer"], "which is not allowed: only names"),
    ],
)
def test_invalid_options_raise_one_clear_error(overrides: list[str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        check_loggers(compose_train(overrides)["logger"])


def test_lightning_logger_can_be_named_by_its_class(tmp_path: Path) -> None:
    config = compose_train(["+logger.mine._target_=lightning.pytorch.loggers.CSVLogger", "+logger.mine.prefix=p"])
    (logger,) = build_loggers(config, tmp_path)
    assert isinstance(logger, CSVLogger)
    assert isinstance(logger, RunLogger)
    logger.log_metrics({"val/accuracy": 0.5, "track_test/accuracy": 0.9}, 1)
    logger.finish(0)
    (table,) = tmp_path.rglob("metrics.csv")
    assert table.read_text().splitlines()[0] == "p-val/accuracy,step", "test metrics are withheld until the end"


def test_logger_failure_does_not_stop_training_and_is_reported_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (logger,) = build_loggers(compose_train(["+logger.mine._target_=lightning.pytorch.loggers.CSVLogger"]), tmp_path)
    calls: list[int] = []

    def fail(self: CSVLogger, metrics: dict[str, float], step: int | None = None) -> None:
        calls.append(1)
        raise OSError("the disk is full")

    monkeypatch.setattr(CSVLogger, "log_metrics", fail)
    for step in range(3):
        logger.log_metrics({"val/accuracy": 0.5}, step)
    assert capsys.readouterr().out.count("the disk is full") == 1
    assert len(calls) == 1, "a logger that failed is not called again: it could hang on a dead server"
