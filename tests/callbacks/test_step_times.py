"""The profile of a step: exclusive times with readable names, adding up to the total."""

from __future__ import annotations

from pathlib import Path

import pytest

from mfer_lightning.callbacks.step_times import REST, SKIPPED, StepTimes, in_words


class Clock:
    """A clock controlled by the test."""

    def __init__(self, profiler: StepTimes) -> None:
        self.now = 0.0
        profiler._now = lambda: self.now  # type: ignore[method-assign]


def a_step(profiler: StepTimes, clock: Clock) -> None:
    """A step as Lightning nests it: 1 s of data, 2 forward, 4 backward, 3 optimiser, 5 logging, 1 between."""
    profiler.start("[_TrainingEpochLoop].train_dataloader_next")
    clock.now += 1
    profiler.stop("[_TrainingEpochLoop].train_dataloader_next")
    profiler.start("run_training_batch")
    clock.now += 1
    profiler.start("[LightningModule]FERModule.optimizer_step")
    clock.now += 1
    for action, seconds in (("[Strategy]DDPStrategy.training_step", 2), ("[Strategy]DDPStrategy.backward", 4)):
        profiler.start(action)
        clock.now += seconds
        profiler.stop(action)
    clock.now += 2
    profiler.stop("[LightningModule]FERModule.optimizer_step")
    profiler.stop("run_training_batch")
    profiler.start("[Callback]History.on_train_batch_end")
    clock.now += 5
    profiler.stop("[Callback]History.on_train_batch_end")


def test_times_are_exclusive_and_sum_to_the_total(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    profiler = StepTimes(tmp_path)
    clock = Clock(profiler)
    for _ in range(SKIPPED):
        a_step(profiler, clock)
    profiler.seconds.clear()
    for _ in range(3):
        a_step(profiler, clock)
    assert profiler.seconds == {
        "data": 3,
        "forward and loss": 6,
        "backward": 12,
        "optimiser": 9,
        "metrics and logging": 15,
        REST: 3,
    }
    profiler.describe()
    text = capsys.readouterr().out
    assert "over 3 training steps" in text
    assert "16000.00 ms per step" in text.splitlines()[-1]
    assert (tmp_path / "steps.txt").read_text().strip() == text.strip()
    profiler.describe()
    assert not capsys.readouterr().out, "said once"


def test_action_left_open_by_an_exception_ends_with_its_parent(tmp_path: Path) -> None:
    profiler = StepTimes(tmp_path)
    clock = Clock(profiler)
    profiler.start("run_training_epoch")
    profiler.start("[Strategy]S.backward")
    clock.now += 2
    profiler.stop("run_training_epoch")
    profiler.stop("never started")
    assert profiler.seconds == {"backward": 2, REST: 0}
    assert profiler._open == []


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ("[_TrainingEpochLoop].train_dataloader_next", "data"),
        ("[LightningDataModule]FolderDataModule.on_before_batch_transfer", "data"),
        ("[Strategy]SingleDeviceStrategy.batch_to_device", "data"),
        ("[Strategy]SingleDeviceStrategy.training_step", "forward and loss"),
        ("[Strategy]SingleDeviceStrategy.backward", "backward"),
        ("[LightningModule]FERModule.optimizer_step", "optimiser"),
        ("[LightningModule]FERModule.configure_gradient_clipping", "optimiser"),
        ("[Strategy]SingleDeviceStrategy.validation_step", "validation"),
        ("[Callback]WarmEMA.on_train_batch_end", "moving average"),
        ("[Callback]RunCheckpoint.on_train_epoch_end", "checkpoints"),
        ("[Callback]History.on_train_batch_end", "metrics and logging"),
        ("run_training_epoch", REST),
    ],
)
def test_actions_have_readable_names(action: str, words: str) -> None:
    assert in_words(action) == words
