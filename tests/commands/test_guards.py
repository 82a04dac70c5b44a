"""Errors that stop a run: a non-finite loss, and a full disk; the run can be resumed."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from commands.conftest import FACS, FEW, Mfer, only_run
from commands.test_options import weights_of
from commands.test_train import result_of
from small_disk import small_disk as small_disk

from mfer_lightning.callbacks import atomic_io
from mfer_lightning.inference.checkpoint import read_checkpoint
from mfer_lightning.module import FERModule


def poison(monkeypatch: pytest.MonkeyPatch, epoch: int, batch: int) -> list[list[int]]:
    """Make the loss of one batch NaN; return a list that receives the rows of the batch."""
    rows: list[list[int]] = []
    step = FERModule.training_step

    def training_step(self: FERModule, data: Any, batch_idx: int) -> torch.Tensor:
        loss = step(self, data, batch_idx)
        if (self.current_epoch, batch_idx) == (epoch, batch):
            rows.append(data["index"].tolist())
            return loss * float("nan")
        return loss

    monkeypatch.setattr(FERModule, "training_step", training_step)
    return rows


@pytest.mark.slow
def test_non_finite_loss_reports_step_batch_rows_and_checkpoint(
    mfer: Mfer, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = (*FACS, "loader.batch_size=8", "trainer.accumulate=2", "evaluation.embedding_points=0")
    with monkeypatch.context() as patch:
        rows = poison(patch, epoch=1, batch=5)
        assert mfer(*options) == 2
    run = only_run(tmp_path / "runs")
    message = capsys.readouterr().err
    assert "not a finite number in epoch 2, step 6, batch 5 (rows of the batch: " in message  # 4 steps, then 2 more
    named = message.partition("rows of the batch: ")[2].partition("). Last")[0]
    assert [int(text.split()[0]) for text in named.split(", ")] == rows[0]
    assert f"Last good checkpoint: {run / 'checkpoints' / 'last.ckpt'}" in " ".join(message.split())
    assert read_checkpoint(run / "checkpoints" / "last.ckpt")["epoch"] == 0
    assert mfer(*options) == 0, "the run goes on from there"
    assert result_of(run)["cost"]["epochs"] == 2


#: The command line, for two ranks: the second rank gets a NaN loss (with POISON), or the first rank's disk is full.
PROGRAM = """
import os, sys
from mfer_lightning.cli import main
from mfer_lightning.module import FERModule
step = FERModule.training_step
def training_step(self, batch, batch_idx):
    loss = step(self, batch, batch_idx)
    bad = self.global_rank == 1 and (self.current_epoch, batch_idx) == (1, 2)
    return loss * float("nan") if bad else loss
if os.environ.get("POISON"):
    FERModule.training_step = training_step
else:  # the first rank's disk is full at the second checkpoint
    import errno
    from mfer_lightning.callbacks import atomic_io
    write = atomic_io.write_checkpoint
    def full(checkpoint, path):
        if checkpoint["epoch"] == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(checkpoint, path)
    atomic_io.write_checkpoint = full
main(sys.argv[1:])
"""


@pytest.mark.slow
@pytest.mark.parametrize("cause", ["loss", "disk"])
def test_two_ranks_stop_together_with_one_message(cause: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    options = [o for o in FACS if not o.startswith("trainer.accelerator")]
    done = subprocess.run(
        [sys.executable, str(program), *options, "trainer=ddp_cpu", "trainer.max_epochs=3"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1", "POISON": "1" if cause == "loss" else ""},
        timeout=300,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("Error: ") == 1
    if cause == "loss":
        assert "in epoch 2, step 6, batch 2 of rank 1 (rows of the batch: " in done.stderr
    else:
        assert "No space left on device" in done.stderr
    assert read_checkpoint(only_run(tmp_path / "runs") / "checkpoints" / "last.ckpt")["epoch"] == 0
    alive = subprocess.run(["pgrep", "-f", str(program)], capture_output=True, text=True, check=False).stdout.split()
    assert not alive


def test_full_disk_raises_one_clear_error_and_the_run_resumes_exactly(
    mfer: Mfer, tmp_path: Path, few_run: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = atomic_io.write_checkpoint

    def full(checkpoint: Any, path: Path) -> None:
        if checkpoint["epoch"] == 1 and path.name.startswith(".last"):
            path.write_bytes(b"half a checkpoint")
            raise OSError(errno.ENOSPC, "No space left on device")
        write(checkpoint, path)

    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr(atomic_io, "write_checkpoint", full)
        assert mfer(*FEW, "name=cut") == 2
    run = only_run(tmp_path / "runs" / "cut")
    message = capsys.readouterr().err
    assert message.startswith("Error: Cannot write ")
    assert "last.ckpt: No space left on device. Free some space and repeat the same command" in message
    assert message.count("\n") == 1
    assert read_checkpoint(run / "checkpoints" / "last.ckpt")["epoch"] == 0
    assert not list(run.rglob(".last*"))
    assert mfer(*FEW, "name=cut") == 0
    ours, theirs = weights_of(run), weights_of(few_run)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_run_that_does_not_fit_on_the_disk_does_not_start(
    mfer: Mfer, tmp_path: Path, few_run: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    capsys.readouterr()  # `few_run` has already built the image cache
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(total=10**12, used=0, free=9_000_000))
    assert mfer(*FEW, "trainer.max_epochs=1", "name=cold") == 2
    message = capsys.readouterr().err
    assert "too full for the run: it needs 18." in message
    assert "9.0 MB free" in message
    assert not [f for f in (tmp_path / "runs" / "cold").rglob("*") if f.is_file()]


@pytest.mark.slow
def test_full_disk_of_a_real_file_system_raises_one_clear_error(
    mfer: Mfer, small_disk: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, ballast = FERModule.on_train_epoch_start, small_disk / "ballast"

    def fill(self: FERModule) -> None:
        begin(self)
        if self.current_epoch == 1:
            with ballast.open("wb") as file:
                file.write(bytes(shutil.disk_usage(small_disk).free))

    options = (*FEW, f"paths.runs={small_disk / 'runs'}")
    with monkeypatch.context() as patch:
        patch.setattr(FERModule, "on_train_epoch_start", fill)
        assert mfer(*options) == 2
    message = capsys.readouterr().err
    assert "Free some space and repeat the same command" in message
    assert "Traceback" not in message
    assert message.count("rror") == 1, message
    run = only_run(small_disk / "runs")
    assert read_checkpoint(run / "checkpoints" / "last.ckpt")["epoch"] == 0
    ballast.unlink()
    assert mfer(*options) == 0
    assert result_of(run)["cost"]["epochs"] == 2
