"""One or both of two ranks are killed at random moments, and the same command is repeated."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands.conftest import TINY
from commands.processes import Bench
from commands.processes import bench as bench
from commands.test_kills import EPOCHS, assert_same, check_whole, epochs_of, run_in

KILLS = 20
VICTIMS = ("first", "second", "both")
#: Maximum seconds until the remaining rank notices that the other rank has died.
NOTICE = 60

OPTIONS = (
    *(option for option in TINY if not option.startswith(("trainer.", "evaluation.", "loader.num"))),
    "trainer=ddp_cpu",
    f"trainer.max_epochs={EPOCHS}",
    "loader.num_workers=1",
    "dataset.train_size=128",
    "dataset.val_size=24",
    "dataset.test_size=16",
    "evaluation.embedding_points=0",
)


def begin(bench: Bench, name: str, **more: str) -> subprocess.Popen[bytes]:
    """Start the run in a separate folder, with a separate folder for temporary files."""
    folder, scratch = bench.folder / name, bench.folder / f"{name}-tmp"
    folder.mkdir(exist_ok=True)
    scratch.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "mfer_lightning", *OPTIONS],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=(bench.folder / f"{name}.txt").open("ab"),
        env=bench.environment(
            TMPDIR=str(scratch),
            MFER_CACHE=str(bench.folder / "cache"),
            TORCHINDUCTOR_CACHE_DIR=str(bench.folder / "compiled"),  # torch creates it on import, by default in TMPDIR
            **more,
        ),
        start_new_session=True,
    )


def parent(process: int) -> int:
    """Return the parent of a process, to tell ranks from loader workers; 0 if the process has ended."""
    try:
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def kill(bench: Bench, process: subprocess.Popen[bytes], victim: str) -> str:
    """Kill one rank or both, and return which; the second rank may not have started yet, or may have finished."""
    second = next(
        (n for n, words in bench.running().items() if "ddp_process_1" in words and parent(n) == process.pid), 0
    )
    if victim == "both" or (victim == "second" and not second):
        os.killpg(process.pid, signal.SIGKILL)
        return "both"
    os.kill(process.pid if victim == "first" else second, signal.SIGKILL)
    return victim


def said_by(bench: Bench) -> str:
    file = bench.folder / "killed.txt"
    return file.read_text() if file.is_file() else ""


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_twenty_kills_of_two_ranks_do_not_change_the_final_weights(bench: Bench) -> None:
    shared = Path("/dev/shm")
    before = set(shared.iterdir()) if shared.is_dir() else set()
    assert begin(bench, "alone").wait() == 0
    alone = run_in(bench.folder / "alone")
    assert alone is not None
    began = time.monotonic()
    assert begin(bench, "alone").wait() == 0  # a second run, timed with warm imports like all later runs
    seconds = time.monotonic() - began

    rng, folder, kills, finished = random.Random(0), bench.folder / "killed", 0, 0
    while kills < KILLS:
        before_start = len(said_by(bench))
        process, victim, moment = begin(bench, "killed"), rng.choice(VICTIMS), rng.uniform(0.3, 1.0) * seconds
        began = time.monotonic()
        while process.poll() is None and time.monotonic() < began + moment:
            time.sleep(0.05)
        if process.poll() is None:
            victim = kill(bench, process, victim)
            kills += 1
        else:
            victim, seconds = "none", max(time.monotonic() - began, 0.8 * seconds)  # the machine is less busy by now
        code = process.wait(timeout=NOTICE)
        end = time.monotonic() + NOTICE
        while left := bench.running():
            assert time.monotonic() < end, f"{victim} was killed after {moment:.1f} s, but processes remain: {left}"
            time.sleep(0.2)
        print(f"kill {kills}: {victim} after {moment:.1f} of {seconds:.1f} s, exit code {code}", flush=True)
        said = said_by(bench)[before_start:]
        if code == 2:
            assert said.count("Error: ") == 1, said
            assert re.search(r"^Error: Rank 1 of the run was killed .* The same command continues", said, re.MULTILINE)
            assert "Traceback" not in said, said  # a killed process prints nothing, but its workers may
        run = run_in(folder)
        if code != {"first": -9, "second": 2, "both": -9, "none": 0}[victim]:  # it finished just before the kill
            assert code == 0
            assert run is not None
            assert (run / "result.json").is_file()
        if run is None:
            continue
        check_whole(run)
        if (run / "result.json").is_file():  # finished: start another run
            assert_same(run, alone)
            finished += 1
            run.rename(bench.folder / f"finished{finished}")
    assert begin(bench, "killed").wait() == 0, (bench.folder / "killed.txt").read_text()[-2000:]
    run = run_in(folder)
    assert run is not None
    assert epochs_of(run) == list(range(EPOCHS))
    assert_same(run, alone)
    assert not [f.name for f in run.rglob(".*")]
    assert not [f.name for f in (bench.folder / "cache").iterdir() if f.suffix not in (".npy", ".lock")]
    left = list((bench.folder / "killed-tmp").rglob("*"))
    assert not [path for path in left if path.is_file()]
    # empty folders created by Python and wandb at startup
    assert all(path.name.startswith(("pymp-", "listener-")) or "wandb-" in path.name for path in left), left
    # torch briefly names the shared memory of a batch while a worker passes it on; a kill then leaves it behind
    handed_over = set(shared.iterdir()) - before if shared.is_dir() else set()
    assert all(path.name.startswith("torch_") for path in handed_over), handed_over
    assert len(handed_over) <= 2
