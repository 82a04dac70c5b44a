"""Ranks started by torchrun or SLURM's srun, each with the full command line: one run folder, one writer.

srun is simulated by two processes with the variables that SLURM would set, and a ``scontrol`` that records its call.
"""

from __future__ import annotations

import csv
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from commands.processes import SMALL, Bench, check_two_ranks, ranks_of, results
from commands.processes import bench as bench

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

TORCHRUN = ("torch.distributed.run", "--nproc-per-node", "2", "--master-port")


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def torchrun(bench: Bench, *arguments: str) -> subprocess.CompletedProcess[str]:
    return bench.program(*TORCHRUN, free_port(), "-m", "mfer_lightning", *SMALL, "trainer=ddp_cpu", *arguments)


def srun(bench: Bench, *arguments: str, tasks: int = 2, **more: str) -> list[subprocess.Popen[str]]:
    """Start the tasks of a SLURM step on this machine."""
    port = free_port()
    return [
        subprocess.Popen(
            [sys.executable, "-m", "mfer_lightning", *SMALL, "trainer=ddp_cpu", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=bench.folder,
            env=bench.environment(
                SLURM_JOB_ID="4711",
                SLURM_JOB_NAME="mfer",
                SLURM_NTASKS=str(tasks),
                SLURM_NTASKS_PER_NODE=str(tasks),
                SLURM_NNODES="1",
                SLURM_NODEID="0",
                SLURM_PROCID=str(rank),
                SLURM_LOCALID=str(rank),
                SLURM_NODELIST="127.0.0.1",
                MASTER_PORT=port,  # Lightning's default would be 15000 plus the last four digits of the job id
                **more,
            ),
        )
        for rank in range(tasks)
    ]


def said_by_ranks(stderr: str, words: str) -> bool:
    """Whether both ranks have printed it; or only one, if torchrun reports that it ended the other one first."""
    times = stderr.count(words)
    return times == 2 or (times == 1 and "closing signal SIGTERM" in stderr)


def test_torchrun_ranks_share_one_folder_and_a_second_start_gets_a_new_one(bench: Bench) -> None:
    for _ in range(2):
        done = torchrun(bench, "loss=ce")
        assert done.returncode == 0, done.stderr
    runs = results(bench.folder / "runs")
    assert sorted(run.name.partition(".")[2] for run in runs) == ["", "2"]
    for run, result in runs.items():
        assert result["n"] == 37
        assert {rank for _, rank, _ in ranks_of(run)} == {0, 1}
        assert {name for _, _, name in ranks_of(run)} == {run.name.partition(".")[0]}
    assert not bench.left_running()


def test_error_on_rank_zero_stops_all_ranks_with_its_message(bench: Bench) -> None:
    (bench.folder / "file").touch()
    done = torchrun(bench, "loss=ce", "paths.runs=file")
    assert done.returncode != 0
    assert said_by_ranks(done.stderr, "Error: Cannot write to the run folder")
    assert not bench.left_running()


def test_error_on_rank_zero_before_data_loading_stops_all_ranks(bench: Bench) -> None:
    done = torchrun(bench, "attention.stages=[7]", "paths.cache=cache")
    assert done.returncode != 0
    assert said_by_ranks(done.stderr, "stages 1 to 4")
    assert not (bench.folder / "cache").exists()
    assert not list((bench.folder).glob("runs/*/config.yaml"))
    assert not bench.left_running()


def test_srun_tasks_share_one_folder(bench: Bench) -> None:
    tasks = srun(bench, "loss=ce")
    said = [task.communicate(timeout=400) for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0], said
    (run,) = results(bench.folder / "runs")
    check_two_ranks(run)
    assert "Traceback" not in said[0][1] + said[1][1]
    assert not bench.left_running()


def test_single_task_starts_its_ranks(bench: Bench) -> None:
    (task,) = srun(bench, "loss=ce", tasks=1)
    said = task.communicate(timeout=400)
    assert task.returncode == 0, said
    (run,) = results(bench.folder / "runs")
    check_two_ranks(run)
    assert not bench.left_running()


def test_rank_settings_that_contradict_the_tasks_raise_one_clear_error(bench: Bench) -> None:
    tasks = srun(bench, "loss=ce", "trainer.devices=1")
    said = [task.communicate(timeout=400) for task in tasks]
    assert [task.returncode for task in tasks] == [2, 2], said
    assert "--ntasks-per-node=2" in said[0][1]
    assert "Traceback" not in said[0][1] + said[1][1]
    assert not bench.left_running()


def test_sigusr1_saves_and_requeues_the_job_and_the_next_start_resumes(bench: Bench) -> None:
    scontrol = bench.folder / "bin" / "scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {bench.folder}/requeued.txt\n')
    scontrol.chmod(0o755)
    path = f"{scontrol.parent}{os.pathsep}{os.environ['PATH']}"
    options = ("loss=ce", "trainer.max_epochs=4", "dataset.train_size=1000", "loader.num_workers=1")
    tasks = srun(bench, *options, PATH=path)
    while not (found := list((bench.folder / "runs").glob("*/checkpoints/last.ckpt"))):
        assert all(task.poll() is None for task in tasks), [task.communicate() for task in tasks]
        time.sleep(0.1)
    run = found[0].parents[1]
    for task in tasks:  # SLURM signals every process of a task
        subprocess.run(["pkill", "-USR1", "-P", str(task.pid)], check=True)
        task.send_signal(signal.SIGUSR1)
    said = [task.communicate(timeout=60) for task in tasks]
    assert [task.returncode for task in tasks] == [143, 143], said
    assert (bench.folder / "requeued.txt").read_text() == "requeue 4711\n", "once, and for this job"
    assert "The job was requeued" in said[0][1]
    assert (run / "checkpoints" / "interrupted.ckpt").is_file()
    assert not list(run.glob("hpc_ckpt*"))
    assert not bench.left_running()

    tasks = srun(bench, *options, PATH=path)
    said = [task.communicate(timeout=500) for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0], said
    with (run / "metrics.csv").open(newline="") as file:
        assert [int(row["epoch"]) for row in csv.DictReader(file)] == [0, 1, 2, 3]
    assert list(results(bench.folder / "runs")) == [run]
