"""Which variables of a SLURM job are used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from mfer_lightning.errors import UserError
from mfer_lightning.sweeps.ranks import decide_together, external_environment, is_first_rank
from mfer_lightning.sweeps.slurm import requeue_command
from mfer_lightning.training.build_trainer import _environment

ONE = {"SLURM_JOB_ID": "4711", "SLURM_JOB_NAME": "mfer", "SLURM_NTASKS": "1", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
TWO = {**ONE, "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2", "SLURM_PROCID": "1", "SLURM_NODEID": "0"}
DDP = {"num_nodes": 1}


@pytest.fixture(autouse=True)
def _no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.startswith(("SLURM_", "SUBMITIT_", "TORCHELASTIC_")):
            monkeypatch.delenv(name)


def within(monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def test_without_slurm_lightning_chooses_a_single_rank() -> None:
    assert external_environment() is None
    assert _environment(DDP) is None
    assert is_first_rank()
    assert decide_together(lambda: "mine") == "mine"


def test_two_tasks_are_two_ranks_without_lightning_requeueing(monkeypatch: pytest.MonkeyPatch) -> None:
    within(monkeypatch, TWO)
    place = _environment(DDP)
    assert type(place).__name__ == "SLURMEnvironment"
    assert not place.auto_requeue  # type: ignore[union-attr]
    assert (place.world_size(), place.global_rank()) == (2, 1)  # type: ignore[union-attr]
    assert not is_first_rank()


@pytest.mark.parametrize("name", ["bash", "interactive"])
def test_interactive_job_is_not_used_as_a_cluster(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    within(monkeypatch, {**TWO, "SLURM_JOB_NAME": name})
    assert external_environment() is None
    assert _environment(DDP) is None
    assert requeue_command() is None


def test_single_task_starts_its_ranks_like_a_workstation(monkeypatch: pytest.MonkeyPatch) -> None:
    within(monkeypatch, ONE)
    assert external_environment() is None
    assert not _environment(DDP).creates_processes_externally  # type: ignore[union-attr]
    with pytest.raises(UserError, match=r"trainer.num_nodes=2, but SLURM has started one task. .* srun"):
        _environment({"num_nodes": 2})


def test_missing_tasks_per_node_raises_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    within(monkeypatch, {k: v for k, v in TWO.items() if k != "SLURM_NTASKS_PER_NODE"})
    with pytest.raises(UserError, match=r"--ntasks-per-node=2"):
        external_environment()


@pytest.mark.parametrize(
    ("variables", "job"),
    [
        ({}, None),
        (ONE, "4711"),
        ({**ONE, "SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "3"}, "12_3"),
        ({**ONE, "SUBMITIT_FOLDER": "x"}, None),
        ({**ONE, "SLURM_JOB_ID": "4711; rm -rf x"}, None),
    ],
)
def test_only_slurm_jobs_are_requeued(
    variables: dict[str, str], job: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    within(monkeypatch, variables)
    requeue = requeue_command()
    assert (requeue is None) is (job is None)
    if requeue is None:
        return
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not requeue(), "without scontrol, the job cannot be requeued"
    scontrol = tmp_path / "scontrol"
    scontrol.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/said.txt\n')
    scontrol.chmod(0o755)
    assert requeue()
    assert (tmp_path / "said.txt").read_text() == f"requeue {job}\n"
