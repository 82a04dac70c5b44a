"""The same command started twice concurrently, and six concurrent jobs in the folder of one sweep."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands.processes import SMALL, Bench, results
from commands.processes import bench as bench
from faults.faces import write_photo

from mfer_lightning.sweeps.records import record_files

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

TRAIN = (*(o for o in SMALL if not o.startswith("trainer.max_epochs")), "trainer=cpu", "trainer.max_epochs=2")


def begin(bench: Bench, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "mfer_lightning", *arguments]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=bench.folder, env=bench.environment(MFER_CACHE="cache"), **streams)


def both(bench: Bench, *arguments: str) -> dict[int, str]:
    """Start a command twice concurrently, and return exit code -> output."""
    processes = [begin(bench, *arguments) for _ in range(2)]
    said = [process.communicate()[0] for process in processes]
    assert not any("Traceback" in text for text in said), said
    return {process.returncode: text for process, text in zip(processes, said, strict=True)}


def test_same_run_started_twice_trains_once(bench: Bench) -> None:
    """Both processes also build the image cache, which does not exist yet."""
    found = both(bench, *TRAIN)
    assert set(found) <= {0, 2}
    runs = list((bench.folder / "runs").iterdir())
    if 2 in found:  # unless one process started after the other had ended
        assert "is in use by another process (pid " in found[2]
        assert len(runs) == 1
    caches = list((bench.folder / "cache").glob("*.npy"))
    assert len(caches) == 3
    assert all(len(np.load(file, mmap_mode="r")) for file in caches)
    assert not list((bench.folder / "cache").glob(".*.part"))
    finished = results(bench.folder / "runs")
    assert set(finished) == set(runs)
    assert all(result["cost"]["epochs"] == 2 for result in finished.values())
    assert bench.left_running() == []


def test_same_prediction_started_twice_predicts_once(bench: Bench, run: Path) -> None:
    photos = bench.folder / "photos"
    photos.mkdir()
    for number in range(300):
        write_photo(photos / f"{number:03}.png", number)
    found = both(bench, "predict", str(photos), f"checkpoint={run}", "device=cpu", "output=out")
    assert 0 in found
    if 2 in found:
        assert "is in use by another process (pid " in found[2]
    lines = (bench.folder / "out" / "predictions.jsonl").read_text().splitlines()
    assert [json.loads(line)["key"] for line in lines] == [f"{number:03}.png" for number in range(300)]


def test_six_concurrent_jobs_give_six_runs_and_a_repeated_sweep_loses_none(bench: Bench) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    sweep = (
        *TRAIN,
        "-m",
        "seed=0,1,2,3,4,5",
        "name=six",
        "report=false",
        "hydra/launcher=joblib",
        "hydra.launcher.n_jobs=6",
    )
    found = both(bench, *sweep)
    print({code: text[-1500:] for code, text in found.items()})
    assert set(found) <= {0, 1}
    last = begin(bench, *sweep)
    said = last.communicate()[0]
    assert last.returncode == 0, said
    folder = bench.folder / "runs" / "six"
    finished = results(folder)
    assert len(finished) == 6
    assert all(result["cost"]["epochs"] == 2 for result in finished.values())
    assert len(record_files(folder)) == 6
    assert not [file for file in folder.rglob(".*") if file.is_file() and file.name != ".lock"]
    assert bench.left_running() == []
