"""W&B gets the outcome of a run, and the next job of a sweep starts its own run."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities.exceptions import SIGTERMException

from mfer_lightning.errors import UserError
from mfer_lightning.tracking.open_loggers import tracked
from mfer_lightning.tracking.wandb_run import RunWandbLogger


class Told:
    """A W&B run that records its calls."""

    def __init__(self) -> None:
        self.facts: dict[str, Any] = {}
        self.heard: list[Any] = []
        self.config = SimpleNamespace(update=lambda facts, **_: self.facts.update(facts))
        self.offline = True

    def mark_preempting(self) -> None:
        self.heard.append("preempting")

    def finish(self, exit_code: int) -> None:
        self.heard.append(exit_code)


def logger(run_dir: Path) -> RunWandbLogger:
    options = {"project": "p", "entity": None, "group": None, "tags": [], "mode": "offline"}
    made = RunWandbLogger(run_dir, {}, **options, images=True, checkpoints=True)
    made._experiment = Told()
    return made


@pytest.mark.parametrize(
    ("end", "heard"),
    [
        (None, [0]),
        (RuntimeError("a defect"), [1]),
        (UserError("out of memory"), [1]),
        (KeyboardInterrupt(), [255]),
        (SystemExit(1), [255]),
        (SystemExit(143), ["preempting", 1]),
        (SIGTERMException(), ["preempting", 1]),
    ],
    ids=repr,
)
def test_wandb_receives_the_outcome_of_a_run(end: BaseException | None, heard: list[Any], tmp_path: Path) -> None:
    made = logger(tmp_path)
    told = made._experiment
    with nullcontext() if end is None else pytest.raises(type(end)), tracked([made], {"protocol": "facs@native"}):
        if end is not None:
            raise end
    assert told.heard == heard
    assert told.facts == {"protocol": "facs@native"}
    assert made._experiment is None, "the next job starts its own"


def test_other_loggers_are_left_to_lightning(tmp_path: Path) -> None:
    class Other(CSVLogger):
        def finish(self, *_: Any, **__: Any) -> None:
            pytest.fail("Lightning finalizes loggers that are not of this project")

        start = finalize = finish

    with tracked([Other(tmp_path)], {"protocol": "facs@native"}):
        pass
    assert not list(tmp_path.iterdir())
