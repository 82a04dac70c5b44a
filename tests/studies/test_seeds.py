"""The ablation's number of seeds is computed only from the registered pilot, on the held-out tenth."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from reporting.fabricate import write_run
from studies.conftest import Script

SEEDS = "ferplus_ablation/seeds.py"


@pytest.fixture
def pilot(tmp_path: Path) -> Path:
    for seed in (1001, 1002, 1003):
        for attention, head in (("none", "linear"), ("ds", "multiscale")):
            write_run(
                tmp_path / "pilot", attention=attention, seed=seed, split="val", protocol="ferplus@dev",
                changes={"head.name": head}, features=False,
            )  # fmt: skip
    return tmp_path / "pilot"


def test_held_out_tenth_is_used_even_if_runs_report_other_faces(pilot: Path, tmp_path: Path, script: Script) -> None:
    first = script(SEEDS, pilot)
    assert first.code == 0, first.err
    assert "3 runs of plain, 3 of full, 210 faces" in first.out
    assert "chosen: " in first.out
    tested = write_run(tmp_path / "x", seed=1001, protocol="ferplus@dev", accuracy=0.2, features=False)
    run = pilot / "ferplus-ce-none-s1001"
    for name in ("result.json", "predictions_test.csv"):
        shutil.copy(tested / name, run / name)
    assert script(SEEDS, pilot).out == first.out


def test_only_the_registered_pilot_is_accepted(pilot: Path, tmp_path: Path, script: Script) -> None:
    assert "There is no folder" in script(SEEDS, tmp_path / "nowhere").err
    assert "Expected `plain` with seeds [1001, 1002, 1003], but got []." in script(SEEDS).err
    (pilot / "ferplus-ce-ds-s1002" / "result.json").unlink()
    assert "ferplus-ce-ds-s1002 is not finished" in script(SEEDS, pilot).err
    shutil.rmtree(pilot / "ferplus-ce-ds-s1002")
    assert "Expected `full` with seeds [1001, 1002, 1003], but got [1001, 1003]." in script(SEEDS, pilot).err
    assert "Traceback" not in script(SEEDS, pilot).err
