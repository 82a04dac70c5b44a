"""A sweep under Ray without starting Ray: options, resources per job, messages."""

from __future__ import annotations

import json
import socket
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from mfer_lightning.config.location import config_dir
from mfer_lightning.config.schema import Train, register
from mfer_lightning.errors import UserError
from mfer_lightning.sweeps import ray_cluster, ray_launcher
from mfer_lightning.sweeps.plan import register_sweep_dir
from mfer_lightning.sweeps.ray_launcher import Jobs
from mfer_lightning.sweeps.records import CUT_OFF, JobRecord, read_record

FOUR_CARDS = {"GPU": 4.0, "CPU": 16.0}
NO_CARD = {"CPU": 8.0}


def needed(monkeypatch: pytest.MonkeyPatch, machines: list[dict], remote: dict, **init: Any) -> dict:
    monkeypatch.setattr(ray_launcher, "machines", lambda: machines)
    return Jobs({"init": init, "remote": remote, "patience": 0})._needed()


@pytest.mark.parametrize(
    ("machines", "remote", "gpus", "cores"),
    [
        ([FOUR_CARDS], {}, 1, 4),
        ([FOUR_CARDS], {"num_gpus": 2}, 2, 8),
        ([FOUR_CARDS], {"num_gpus": 0.25}, 0.25, 1),
        ([{"GPU": 1.0, "CPU": 2.0}], {"num_gpus": 0.25}, 0.25, 0.5),
        ([FOUR_CARDS], {"num_cpus": 2}, 1, 2),
        ([NO_CARD], {}, 0, 4),
        ([NO_CARD, FOUR_CARDS], {}, 1, 4),
    ],
)
def test_job_gets_one_gpu_and_its_fraction_of_the_cores(
    machines: list[dict], remote: dict, gpus: float, cores: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = needed(monkeypatch, machines, remote)
    assert (found["num_gpus"], found["num_cpus"]) == (gpus, cores)


def test_missing_resources_are_reported_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"A job needs 5 GPUs and 16 cores, but this machine has 4 GPUs and 16 cores"):
        needed(monkeypatch, [FOUR_CARDS], {"num_gpus": 5, "num_cpus": 16})
    with pytest.raises(UserError, match=r"and 1 fast_disk"):
        needed(monkeypatch, [FOUR_CARDS], {"resources": {"fast_disk": 1}})
    needed(monkeypatch, [FOUR_CARDS], {"num_gpus": 5}, address="auto")  # a cluster may grow


@pytest.mark.parametrize("group", ["launcher", "hydra/launcher"])
def test_launcher_composes_with_the_names_of_the_official_plugin(group: str) -> None:
    register("train_schema", Train)
    register_sweep_dir(["seed=0"])
    more = ["hydra.launcher.ray.init.num_gpus=2", "hydra.launcher.ray.remote.num_gpus=1"] if group == "launcher" else []
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        config = compose("train", [f"{group}=ray", *more], return_hydra_config=True)
    assert str(config.hydra.launcher._target_).endswith("hydra_mfer.ray_launcher.RayLauncher")
    if more:
        ray = config.hydra.launcher.ray
        assert (ray.init.num_gpus, ray.remote.num_gpus) == (2, 1)
        assert not ray.init.include_dashboard
        assert ray.init.address == "local"


def test_jobs_that_fit_on_no_node_are_abandoned_and_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    jobs = Jobs({"init": {"address": "auto"}, "remote": {"num_gpus": 1}, "patience": 0})
    monkeypatch.setattr(ray_launcher, "machines", lambda: [NO_CARD])
    monkeypatch.setattr("ray.cancel", lambda *_, **__: None)
    jobs._folder, jobs._needs = tmp_path, jobs._needed()
    jobs._running = {"reference": ray_launcher.JobRecord(3, ("seed=3",), "failed", str(tmp_path))}
    returns = jobs._without_machine()
    assert returns[3].return_value is None
    record = json.loads((tmp_path / "jobs" / "0003.json").read_text())
    assert record["status"] == "failed"
    assert "no machine of the Ray cluster has had 1 GPU" in record["error"]
    assert not jobs._running


@pytest.mark.parametrize(
    ("node", "name", "amount", "taken"),
    [
        ("remote", "num_gpus", -1, False),
        ("remote", "num_gpus", "x", False),
        ("remote", "num_gpus", 1.5, False),
        ("remote", "num_gpus", 0.25, True),
        ("remote", "num_cpus", 2.0, True),
        ("remote", "num_cpus", 1.5, True),
        ("init", "num_cpus", 1.5, False),
        ("init", "num_gpus", 0.5, False),
        ("init", "num_gpus", 2, True),
    ],
)
def test_invalid_resource_amounts_are_rejected(node: str, name: str, amount: Any, taken: bool) -> None:
    jobs = Jobs({node: {name: amount}})
    with nullcontext() if taken else pytest.raises(UserError, match=f"{node}.{name}={amount}: the value must be"):
        jobs._check()


@pytest.mark.parametrize("node", ["remote", "init"])
def test_gpu_jobs_without_a_gpu_are_rejected(node: str) -> None:
    jobs = Jobs({node: {"num_gpus": 0}})
    jobs._config = OmegaConf.create({"trainer": {"accelerator": "gpu"}})
    with pytest.raises(UserError, match=rf"{node}.num_gpus=0 gives a job no GPU"):
        jobs._check()
    jobs._config = OmegaConf.create({"trainer": {"accelerator": "cpu"}})
    jobs._check()


def test_job_that_fails_to_report_is_lost_and_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    failed = JobReturn(status=JobStatus.FAILED)
    failed.return_value = OSError("no space left")
    monkeypatch.setattr("ray.wait", lambda *_, **__: (["reference"], []))
    monkeypatch.setattr("ray.get", lambda _: failed)
    jobs = Jobs({})
    jobs._folder = tmp_path
    jobs._running = {"reference": ray_launcher.JobRecord(3, ("seed=3",), "failed", str(tmp_path))}
    assert jobs.ended()[3].return_value is None
    assert "OSError: no space left" in json.loads((tmp_path / "jobs" / "0003.json").read_text())["error"]


def test_killed_job_is_recorded_as_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = Jobs({"init": {}, "remote": {}, "patience": 0})
    jobs._folder = tmp_path
    monkeypatch.setattr(ray_launcher, "ray_started", lambda *_: nullcontext())
    for name in ("_check", "_needed", "_as_ray_has_it", "_stop"):
        monkeypatch.setattr(jobs, name, lambda: None)
    for number, status in enumerate(("running", "done")):  # the second ended before it received the signal
        JobRecord(number, (f"seed={number}",), status, str(tmp_path), host="here").write(tmp_path)
    for number in (0, 1, 2):  # the third had not started
        jobs._running[str(number)] = JobRecord(number, (f"seed={number}",), "failed", str(tmp_path))
    with pytest.raises(SystemExit), jobs.opened():
        raise SystemExit(143)
    cut, done = read_record(tmp_path, 0), read_record(tmp_path, 1)
    assert cut is not None
    assert done is not None
    assert (cut.status, cut.host, cut.error) == ("failed", "here", CUT_OFF)
    assert done.status == "done"
    assert read_record(tmp_path, 2) is None


@pytest.mark.parametrize("by_variable", [False, True])
def test_unreachable_cluster_is_rejected_immediately(by_variable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = f"127.0.0.1:{server.getsockname()[1]}"
        if by_variable:
            monkeypatch.setenv("RAY_ADDRESS", place)
        address = "auto" if by_variable else place
        ray_cluster._refuse_silence(address)
    with pytest.raises(UserError, match=rf"address={address}: nothing answers at {place} \(Connection refused\)"):
        ray_cluster._refuse_silence(address)


def test_unknown_ray_options_are_rejected() -> None:
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    jobs = Jobs({})
    jobs._needs = {"num_gpus": 0, "num_cpus": 1, "bogus": 1}
    with pytest.raises(UserError, match=r"ray.remote was rejected by Ray: .*bogus"):
        jobs._as_ray_has_it()


def test_ray_socket_folder_has_a_short_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 40)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    made = ray_cluster._scratch()
    try:
        assert len(made) <= 107 - 65
    finally:
        Path(made).rmdir()
