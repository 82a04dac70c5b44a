"""The ablation's number of seeds: read off the registered pilot alone, on the held-out tenth."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from report.fabricate import write_run

SCRIPT = Path(__file__).resolve().parents[2] / "studies" / "ferplus_ablation" / "seeds.py"


def seeds(*folders: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *folders], capture_output=True, text=True, check=False)


@pytest.fixture
def pilot(tmp_path: Path) -> Path:
    for seed in (1001, 1002, 1003):
        for attention, head in (("none", "linear"), ("ds", "multiscale")):
            write_run(
                tmp_path / "pilot", attention=attention, seed=seed, split="val", protocol="ferplus@dev",
                changes={"head.name": head}, features=False,
            )  # fmt: skip
    return tmp_path / "pilot"


def test_it_reads_the_held_out_tenth_even_where_runs_report_other_faces(pilot: Path, tmp_path: Path) -> None:
    first = seeds(pilot)
    assert first.returncode == 0, first.stderr
    assert "3 runs of plain, 3 of full, 210 faces" in first.stdout
    assert "chosen: " in first.stdout
    tested = write_run(tmp_path / "x", seed=1001, protocol="ferplus@dev", accuracy=0.2, features=False)
    run = pilot / "ferplus-ce-none-s1001"
    for name in ("result.json", "predictions_test.csv"):
        shutil.copy(tested / name, run / name)
    assert seeds(pilot).stdout == first.stdout


def test_anything_but_the_registered_pilot_is_a_sentence(pilot: Path, tmp_path: Path) -> None:
    assert "There is no folder" in seeds(tmp_path / "nowhere").stderr
    assert "The pilot has `plain` with seeds [1001, 1002, 1003], but got []." in seeds().stderr
    (pilot / "ferplus-ce-ds-s1002" / "result.json").unlink()
    assert "ferplus-ce-ds-s1002 has not ended" in seeds(pilot).stderr
    shutil.rmtree(pilot / "ferplus-ce-ds-s1002")
    assert "The pilot has `full` with seeds [1001, 1002, 1003], but got [1001, 1003]." in seeds(pilot).stderr
    assert "Traceback" not in seeds(pilot).stderr
