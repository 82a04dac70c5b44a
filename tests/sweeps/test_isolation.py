"""A job of a sweep does not affect the next one, and its ranks run only this job."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch.distributed
from lightning.fabric.strategies.launchers.subprocess_script import _basic_subprocess_cmd
from torch.utils.data import DataLoader

from mfer_lightning.sweeps.isolation import LEFTOVERS, isolated_job
from mfer_lightning.termination import one_line_on_sigterm


def test_additional_ranks_run_only_this_job() -> None:
    import __main__

    before = (list(sys.argv), __main__.__spec__)
    with isolated_job(("loss=ce", "seed=1"), ("--config-dir", "mine")):
        command = _basic_subprocess_cmd()
    assert command[:3] == [sys.executable, "-m", "mfer_lightning.__main__"]
    assert command[3:] == ["--config-dir", "mine", "loss=ce", "seed=1", "hydra.mode=RUN"]
    assert (sys.argv, __main__.__spec__) == before


@pytest.mark.parametrize("error", [None, RuntimeError, SystemExit])
def test_process_group_and_environment_are_cleaned_up_after_the_job(
    error: type[BaseException] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in LEFTOVERS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NODE_RANK", "3")  # the user's variables are kept
    try:
        with isolated_job(("seed=1",)):
            torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
            os.environ.update(dict.fromkeys(LEFTOVERS, "1"))
            if error is not None:
                raise error("the job failed")
    except (RuntimeError, SystemExit):
        assert error is not None
    assert not torch.distributed.is_initialized()
    assert {name: os.environ[name] for name in LEFTOVERS if name in os.environ} == {"NODE_RANK": "3"}


def _count_with_a_worker() -> int:
    with isolated_job(("seed=1",)):
        return len(list(DataLoader(range(4), num_workers=1)))


@pytest.mark.slow
def test_joblib_job_can_use_loader_workers() -> None:
    """joblib sets a start method in its workers that a DataLoader cannot use."""
    joblib = pytest.importorskip("joblib")
    assert joblib.Parallel(n_jobs=2, backend="loky")(joblib.delayed(_count_with_a_worker)() for _ in range(2)) == [4, 4]


def test_output_of_a_job_and_its_subprocesses_goes_to_its_file(tmp_path: Path) -> None:
    file = tmp_path / "jobs" / "0000.log"
    program = f"""
import subprocess, sys
from pathlib import Path
from mfer_lightning.sweeps.isolation import output_to
for text in ("first", "second"):
    with output_to(Path({str(file)!r})):
        print(text)
        subprocess.run([sys.executable, "-c", "import sys; print('child', file=sys.stderr)"], check=True)
print("outside")
"""
    done = subprocess.run([sys.executable, "-u", "-c", program], capture_output=True, text=True, check=True)
    assert file.read_text().split() == ["first", "child", "second", "child"]
    assert (done.stdout, done.stderr) == ("outside\n", "")


def test_sigterm_unwinds_the_launching_process(tmp_path: Path) -> None:
    import signal

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as stop, one_line_on_sigterm():
        os.kill(os.getpid(), signal.SIGTERM)
    assert stop.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before
