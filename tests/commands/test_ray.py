"""Sweeps under Ray: one GPU per job, lost jobs are reported, and no processes are left running."""

from __future__ import annotations

import csv
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from commands.processes import SMALL, Bench, check_two_ranks, results
from commands.processes import bench as bench

from mfer_lightning.sweeps.records import record_files

pytest.importorskip("ray", reason="the extra `ray` is not installed: pip install 'mfer_lightning[ray]'")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

#: Two simulated GPUs.
RAY = ("launcher=ray", "hydra.launcher.ray.init.num_gpus=2")
CPU = ("trainer=cpu",)


def records(folder: Path) -> list[dict]:
    return [json.loads(f.read_text()) for f in record_files(folder)]  # excluding files that are being written


def epochs(record: dict) -> int:
    """The number of lines in a job's metrics.csv: one per finished epoch, plus the header."""
    table = Path(record["run_dir"]) / "metrics.csv"
    return len(table.read_text().splitlines()) if table.is_file() else 0


def started(bench: Bench, *arguments: str, **more: str) -> subprocess.Popen[str]:
    """Start a command in the background."""
    return subprocess.Popen(
        [sys.executable, "-m", "mfer_lightning", *SMALL, *arguments],
        cwd=bench.folder,
        env=bench.environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a test run in the background ignores SIGINT
    )


def until(condition, process: subprocess.Popen, seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < end
        time.sleep(0.1)


def table_of(said: str) -> str:
    return said[said.rindex("facs@native") : said.rindex("Sweep: ")]


def without_times(table: Path) -> list[dict]:
    with table.open(newline="") as file:
        return [{k: v for k, v in row.items() if "second" not in k} for row in csv.DictReader(file)]


def scratch() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("mfer-ray-*"))


def test_killed_and_resumed_two_gpu_sweep_gives_the_same_table(bench: Bench) -> None:
    before = scratch()
    axes = ("dataset.train_size=32,48", "loss=ce,dsf", "seed=0,1", "trainer.max_epochs=4")
    done = bench.mfer("-m", *CPU, "name=plain", *axes)
    assert done.returncode == 0, done.stdout + done.stderr
    plain = results(bench.folder / "runs" / "plain")
    assert len(plain) == 8

    folder = bench.folder / "runs" / "ray"
    bad = folder / sorted(plain)[-1].name
    bad.mkdir(parents=True)
    (bad / "checkpoints").touch()  # a file in place of a folder: this job fails
    sweep = ("-m", *RAY, *CPU, "name=ray", *axes)
    process = started(bench, *sweep)
    until(lambda: len(results(folder)) >= 3, process)
    process.kill()
    process.wait(timeout=60)
    gone = time.monotonic() + 90  # Ray processes check for their parent from time to time
    while (left := bench.left_running()) and time.monotonic() < gone:
        time.sleep(1)
    assert not left, "processes of a sweep that was killed"
    assert 3 <= len(results(folder)) < 7

    done = bench.mfer(*sweep)
    assert done.returncode == 1, done.stdout + done.stderr
    assert not bench.left_running()
    found = records(folder)
    assert [r["status"] for r in found].count("failed") == 1
    assert [r["status"] for r in found].count("skipped") >= 3
    assert len(results(folder)) == 7
    assert "1 job without a result:" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    ran = [r for r in found if r["status"] != "skipped"]
    assert {r["cards"] for r in ran} == {"0", "1"}, "each job has its own card"
    assert done.stdout.count("--- job") == 16, done.stdout
    (bad / "checkpoints").unlink()

    done = bench.mfer(*sweep)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == "", "the terminal is quiet"
    assert table_of(done.stdout) == table_of(bench.mfer("-m", *CPU, "name=plain", *axes).stdout)
    ours = results(folder)
    assert {r.name for r in ours} == {r.name for r in plain}
    for run, expected in plain.items():
        assert ours[folder / run.name]["metrics"] == expected["metrics"]
        there, here = ((f / run.name / "predictions_test.csv").read_text() for f in (folder, run.parent))
        assert there == here
        there, here = (without_times(f / run.name / "metrics.csv") for f in (folder, run.parent))
        assert there == here
    assert scratch() <= before, "Ray's temporary files"


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signal_stops_all_jobs_and_leaves_no_process_or_open_port(
    sent: signal.Signals, code: int, bench: Bench
) -> None:
    before = scratch()
    more = ("name=s", "trainer.max_epochs=500", "seed=0,1,2", "loss=ce", "loader.num_workers=1")
    process = started(bench, "-m", *RAY, *CPU, *more)
    folder = bench.folder / "runs" / "s"
    until(lambda: len(list(folder.glob("*/checkpoints/last.ckpt"))) >= 2, process)
    listening = subprocess.run(["ss", "-ltnpH"], capture_output=True, text=True).stdout.splitlines()
    ours = [line for line in listening if set(map(int, re.findall(r"pid=(\d+)", line))) & bench.running().keys()]
    assert ours
    assert all(re.search(r"(127\.0\.0\.1|\[::1\])(\])?:\d+ ", line) for line in ours), ours
    process.send_signal(sent)
    assert process.wait(timeout=120) == code
    assert not bench.left_running()
    assert scratch() <= before
    assert {r["status"] for r in records(folder)} == {"failed"}
    assert len(list(folder.glob("*/.lock"))) == 0


def test_two_rank_job_gets_two_gpus_and_a_killed_job_stops_no_other(bench: Bench) -> None:
    cards = "hydra.launcher.ray.remote.num_gpus=2"
    more = ("name=s", "loss=ce", "seed=0,1,2", "trainer.max_epochs=3")
    process = started(bench, "-m", *RAY, cards, "trainer=ddp_cpu", *more)
    folder = bench.folder / "runs" / "s"
    log = folder / "jobs" / "0001.log"
    until(lambda: log.exists() and next(folder.glob("*-s1-*/checkpoints/last.ckpt"), None), process)
    run = next(folder.glob("*-s1-*"))
    first = re.search(r"process (\d+), rank 0", (run / "log.txt").read_text())[1]
    os.kill(int(first), signal.SIGKILL)  # as the kernel does when memory runs out
    said, _ = process.communicate(timeout=240)
    assert process.returncode == 1, said
    assert not bench.left_running(), "the second rank of the job that was killed"
    assert "1 job without a result: seed=1: its process ended without an error message" in " ".join(said.split())
    done = results(folder)
    assert len(done) == 2
    for each in done:
        check_two_ranks(each)
    assert {r["cards"] for r in records(folder) if r["status"] == "done"} == {"0,1"}


def test_unavailable_resources_are_rejected_before_the_first_job(bench: Bench) -> None:
    done = bench.mfer("-m", *RAY, "hydra.launcher.ray.remote.num_gpus=3", *CPU, "seed=0,1")
    assert done.returncode == 2
    assert done.stderr.startswith("Error: A job needs 3 GPUs and "), done.stderr
    assert done.stderr.count("\n") == 1
    assert not (bench.folder / "runs").exists()
    assert not bench.left_running()


#: A local cluster of two nodes with one simulated GPU each. The first line of input stops the second node, and the next
#: line stops the cluster.
CLUSTER = """
import sys
from ray.cluster_utils import Cluster
has = {"num_cpus": 1, "num_gpus": 1, "object_store_memory": 80_000_000}
cluster = Cluster(initialize_head=True, head_node_args={**has, "include_dashboard": False})
second = cluster.add_node(**has)
print("at", cluster.address, flush=True)
sys.stdin.readline()
cluster.remove_node(second, allow_graceful=False)
sys.stdin.readline()
cluster.shutdown()
"""


def test_jobs_of_a_lost_node_are_rerun_by_the_same_command(bench: Bench) -> None:
    secret = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_USAGE_STATS_ENABLED": "0"}
    own = {**secret, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # listen on the loopback interface
    cluster = subprocess.Popen(
        [sys.executable, "-c", CLUSTER],
        env=bench.environment(**own),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        address = next(line for line in cluster.stdout if line.startswith("at ")).split()[1]
        more = ("launcher=ray", f"hydra.launcher.ray.init.address={address}", "hydra.launcher.ray.patience=10")
        sweep = ("-m", *more, *CPU, "name=s", "loss=ce", "seed=0,1,2,3,4", "trainer.max_epochs=60", "report=false")
        process = started(bench, *sweep, **own)
        folder = bench.folder / "runs" / "s"

        def both_at_work() -> bool:
            """Return whether a job is done and two others are running, each less than half finished."""
            running = [r for r in records(folder) if r["status"] == "running"]
            return bool(results(folder)) and len(running) == 2 and all(epochs(r) < 30 for r in running)

        until(both_at_work, process)
        cluster.stdin.write("\n")
        cluster.stdin.flush()
        said, _ = process.communicate(timeout=400)
        assert process.returncode == 1, said
        lost = [r for r in records(folder) if r["status"] == "failed"]
        assert len(lost) == 1, said
        assert re.search("left the Ray cluster|ended without an error message", lost[0]["error"])
        assert len(results(folder)) == 4
        done = bench.mfer(*sweep, **own)
        assert done.returncode == 0, done.stdout + done.stderr
        assert len(results(folder)) == 5

        wanted = "hydra.launcher.ray.remote.num_gpus=2"
        done = bench.mfer("-m", *more, wanted, *CPU, "name=t", "seed=0,1", **own)
        assert done.returncode == 1
        assert "no machine of the Ray cluster has had 2 GPUs" in " ".join(done.stdout.split())
    finally:
        cluster.communicate("\n\n", timeout=60)
    assert not bench.left_running()
