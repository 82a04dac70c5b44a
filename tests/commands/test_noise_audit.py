"""The label audit on the command line: train on parts, judge, correct."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from commands.conftest import FEW, Mfer


@pytest.mark.slow
def test_label_audit_trains_on_parts_and_its_list_corrects_the_next_training(
    mfer: Mfer, capsys: pytest.CaptureFixture
) -> None:
    noisy = (*FEW, "dataset.train_size=64", "dataset.label_noise=0.25", "trainer.max_epochs=1", "loss=ce")
    assert mfer("-m", *noisy, "dataset.hold_out=1/2,2/2", "name=parts", "report=false") == 0
    runs = [folder for folder in Path("runs/parts").iterdir() if (folder / "result.json").is_file()]
    assert len(runs) == 2
    assert mfer("data", "noise=audit", "checkpoint=runs/parts", "output=out", "loader.num_workers=0") == 0
    said = capsys.readouterr().out
    assert "64 faces, each judged by 1 of 2" in " ".join(said.split())
    found = json.loads(Path("out/noise.json").read_text())
    assert (found["faces"], found["truth"]["wrong"]) == (64, 16)
    with Path("out/suspects.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == found["suspected"] == found["truth"]["listed"]["k"] > 0
    assert mfer(*noisy, "dataset.relabel=out/suspects.csv", "name=mended", "report=false") == 0
    assert f"{len(rows):,} training faces have the labels of suspects.csv" in " ".join(capsys.readouterr().out.split())
    assert mfer("data", "noise=audit", f"checkpoint={runs[0]}", "output=out") == 2
    assert "would repeat their labels" in " ".join(capsys.readouterr().err.split())
    unfinished = runs[0] / "result.json"
    unfinished.rename(runs[0] / "result")
    assert mfer("data", "noise=audit", "checkpoint=runs/parts", "output=out") == 2
    assert "is not finished" in capsys.readouterr().err
