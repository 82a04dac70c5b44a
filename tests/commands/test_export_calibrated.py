"""``mfer export calibrate=true``: temperature and threshold from the run's predictions on val."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from commands.conftest import command

from mfer_lightning import export, load_model
from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.calibration import fit_temperature
from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.inference.model import read_model


def relabel(run: Path, right: int) -> None:
    """Make the ``right`` most confident predictions on val correct, and all others wrong."""
    path = run / "predictions_val.csv"
    head, *lines = path.read_text().splitlines()
    names = head.split(",")
    shares = [i for i, name in enumerate(names) if name.startswith("p_")]
    rows = sorted((line.split(",") for line in lines), key=lambda row: -max(float(row[i]) for i in shares))
    for number, row in enumerate(rows):
        pred = int(row[names.index("pred")])
        row[names.index("label")] = str(pred if number < right else (pred + 1) % len(shares))
    path.write_text("\n".join([head, *map(",".join, rows)]) + "\n")


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(trained, tmp_path / trained.name))
    relabel(folder, right=12)
    return folder


def test_temperature_and_threshold_are_fitted_on_val_and_exported(run: Path, tmp_path: Path) -> None:
    val = Predictions.from_csv(run / "predictions_val.csv")
    exported = export(run, output=tmp_path / "out", calibrate=True, risk=0.3).folder
    stored = json.loads((exported / "config.json").read_text())["calibration"]
    temperature = fit_temperature(val.logits, val.label)
    assert stored["temperature"] == pytest.approx(temperature)
    assert (stored["n"], stored["fitted_on"]) == (len(val), "val of facs@native")
    z = val.logits.astype(float) / temperature
    p = np.exp(z - np.logaddexp.reduce(z, axis=1, keepdims=True))
    answered = p.max(axis=1) >= stored["uncertain"]["threshold"]
    assert stored["uncertain"]["coverage"] == pytest.approx(answered.mean())
    assert stored["uncertain"]["error"] == pytest.approx((val.pred != val.label)[answered].mean())
    assert stored["uncertain"]["error"] <= 0.3
    assert 12 / 24 <= stored["uncertain"]["coverage"] < 1

    assert read_model(exported, "cpu").temperature == stored["temperature"]
    assert load_model(exported, "cpu").threshold == stored["uncertain"]["threshold"]
    card = (exported / "README.md").read_text()
    assert f"Logits are divided by a temperature of {temperature:.3f}, fitted on val of facs@native" in card
    assert "is uncertain; the threshold was chosen on val of facs@native" in card
    assert f"of these predictions are wrong (95%: {100 * stored['uncertain']['error_interval'][0]:.2f}% to " in card
    again = export(exported, output=tmp_path / "again").folder
    assert json.loads((again / "config.json").read_text())["calibration"] == stored


def test_calibration_that_cannot_be_fitted_raises_one_clear_error(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"risk=1: the value must be above 0 and below 1"):
        export(run, output=tmp_path / "out", calibrate=True, risk=1)
    with pytest.raises(UserError, match=r"risk=0\.2 has an effect only with calibrate=true"):
        export(run, output=tmp_path / "out", risk=0.2)
    alone = shutil.copy(run / "checkpoints" / "best.ckpt", tmp_path / "alone.ckpt")
    with pytest.raises(UserError, match="but this checkpoint is not in a run's folder with such predictions"):
        export(alone, output=tmp_path / "out", calibrate=True)
    result = json.loads((run / "result.json").read_text())
    result["selection"]["epoch"] += 1
    (run / "result.json").write_text(json.dumps(result))
    with pytest.raises(UserError, match="is from a different epoch than this checkpoint"):
        export(run, output=tmp_path / "out", calibrate=True)
    assert not (tmp_path / "out").exists()


def test_unreachable_risk_is_rejected(run: Path, tmp_path: Path) -> None:
    relabel(run, right=0)
    with pytest.raises(UserError, match=r"risk=0\.1: no threshold achieves this on val"):
        export(run, output=tmp_path / "out", calibrate=True)


def test_number_of_faces_behind_the_threshold_is_printed(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """A single answer that is correct meets any risk, but does not show that the next one will be correct."""
    relabel(run, right=1)
    assert command("export", f"checkpoint={run}", "calibrate=true", f"output={tmp_path / 'out'}") == 0
    assert (
        "4.17% of the faces reach it, and 0.00% of these predictions are wrong (95%: 0.00% to 79.35%)"
        in capsys.readouterr().out
    )
