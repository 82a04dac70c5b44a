"""`mfer report keep=`: the kept numbers alone give the same report in another folder."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest
from commands.conftest import Mfer
from reporting.fabricate import change, write_run

from mfer_lightning.evaluation.keep_study import keep_study
from mfer_lightning.evaluation.study_archive import read_archive, unpack_run

QUICK = "embedding=none"
#: Tables computed from features, which are not kept.
OF_FEATURES = {"compactness.csv", "subgroups.csv"}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two losses with three seeds and test curves, an evaluation on another dataset, and an interrupted run."""
    folder = tmp_path_factory.mktemp("keep") / "losses"
    own = {"paths.data": f"{folder}/data", "dataset.root": f"{folder}/data/raf-db", "paths.runs": str(folder)}
    for loss, accuracy in (("ce", 0.6), ("dsf", 0.75)):
        for seed in range(3):
            run = write_run(folder, loss, seed=seed, accuracy=accuracy, n=140, track_test=True, changes=own)
    other = write_run(run / "evaluations", "dsf", seed=2, protocol="ferplus@majority", n=80, name="fer", changes=own)
    (other / "config.yaml").unlink()
    change(other, model={"checkpoint": str(run / "checkpoints" / "best.ckpt"), "trained_on": "rafdb@holdout"})
    (write_run(folder, "lgm", n=140) / "result.json").unlink()
    return folder


def tables(report: Path) -> dict[str, str]:
    return {str(p.relative_to(report)): p.read_text() for p in sorted((report / "tables").rglob("*.csv"))}


@pytest.mark.slow
def test_report_from_kept_numbers_has_the_same_tables(
    mfer: Mfer, study: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert mfer("report", str(study), QUICK, "keep=studies/losses", "output=whole") == 0
    said = capsys.readouterr().out
    assert "Kept: 7 runs in studies/losses (" in said
    assert "7 of them new or changed" in said
    assert "Not kept: losses/rafdb-lgm-none-s0 is not finished" in said

    shutil.move(tmp_path / "studies" / "losses", tmp_path / "elsewhere")
    assert mfer("report", "elsewhere", QUICK, "output=again") == 0
    said = capsys.readouterr().out
    assert said.count("without features (no embedding or compactness)") == 1
    whole, again = tables(tmp_path / "whole"), tables(tmp_path / "again")
    lost = {name for name in whole if Path(name).name in OF_FEATURES}
    assert lost
    assert {name: text for name, text in whole.items() if name not in lost} == again
    assert any("methods.csv" in name and "better" in text for name, text in again.items())  # comparisons were made
    assert {Path(name).stem for name in again} >= {"runs", "methods", "further", "optimism", "recall"}
    with zipfile.ZipFile(tmp_path / "elsewhere" / "runs.npz") as file:
        assert not any(str(study).encode() in file.read(name) for name in file.namelist())

    assert mfer("report", "elsewhere/runs.npz", QUICK) == 0  # the archive itself: the report is next to it
    assert tables(tmp_path / "elsewhere" / "report") == again

    assert mfer("report", "elsewhere", "embedding=pca", "embedding_points=40", "output=drawn") == 0  # nothing to draw


def test_keeping_again_writes_only_changed_runs(mfer: Mfer, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for loss in ("ce", "dsf"):
        write_run(tmp_path / "runs" / "x", loss, n=70)
    command = ("report", "runs/x", QUICK, "keep=studies/x")
    assert mfer(*command) == 0
    change(tmp_path / "runs" / "x" / "rafdb-ce-none-s0", notes=["seen again"])
    assert mfer(*command) == 0
    assert "Kept: 2 runs in studies/x" in (said := capsys.readouterr().out)
    assert "1 of them new or changed" in said
    kept = {run.name: run.result for run in read_archive(tmp_path / "studies" / "x" / "runs.npz")}
    assert kept["rafdb-ce-none-s0"]["notes"] == ["seen again"]


def test_truncated_archive_is_reported_and_skipped(mfer: Mfer, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_run(tmp_path / "x", n=70)
    assert mfer("report", "x", QUICK, "keep=kept") == 0
    archive = tmp_path / "kept" / "runs.npz"
    archive.write_bytes(archive.read_bytes()[:-30])
    capsys.readouterr()
    assert mfer("report", "kept", QUICK) == 2
    error = capsys.readouterr().err
    assert "kept/runs.npz cannot be read: it is truncated or damaged" in error
    assert error.strip().count("\n") == 0
    assert mfer("report", "kept", "x", QUICK, "output=mixed") == 0
    assert "Left out: kept/runs.npz cannot be read: it is truncated" in capsys.readouterr().out
    assert (tmp_path / "mixed" / "tables" / "runs.csv").is_file()


def test_archives_and_run_folders_are_read_together(mfer: Mfer, tmp_path: Path) -> None:
    for loss in ("ce", "dsf"):
        for seed in range(3):
            write_run(tmp_path / "x" / loss, loss, seed=seed, n=70, features=False)
    assert mfer("report", "x", QUICK, "output=whole") == 0
    keep_study([tmp_path / "x" / "ce"], tmp_path / "kept" / "ce")
    assert mfer("report", "kept", "x/dsf", QUICK, "output=mixed") == 0
    assert tables(tmp_path / "mixed") == tables(tmp_path / "whole")


def test_folders_kept_by_earlier_versions_are_read(mfer: Mfer, tmp_path: Path) -> None:
    write_run(tmp_path / "x", n=70)
    keep_study([tmp_path / "x"], tmp_path / "kept")
    (run,) = read_archive(tmp_path / "kept" / "runs.npz")
    unpack_run(run, tmp_path / "folders" / run.name)
    assert sorted(path.name for path in (tmp_path / "folders" / run.name).iterdir()) == [
        "config.yaml", "metrics.csv", "predictions_test.csv.xz", "result.json",
    ]  # fmt: skip
    assert mfer("report", "folders", QUICK, "output=a", "keep=again") == 0
    assert mfer("report", "kept", QUICK, "output=b") == 0
    assert tables(tmp_path / "a") == tables(tmp_path / "b")
    assert (tmp_path / "again" / "runs.npz").read_bytes() == (tmp_path / "kept" / "runs.npz").read_bytes()


def test_invalid_archive_locations_are_rejected_before_anything_is_written(
    mfer: Mfer, study: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for into, words in ((study / "kept", "must not be inside one another"), ("", "keep= has no value")):
        assert mfer("report", str(study), QUICK, f"keep={into}", "output=r") == 2
        error = capsys.readouterr().err
        assert words in error
        assert error.strip().count("\n") == 0
        assert not (tmp_path / "r").exists()


def test_kept_predictions_evaluate_like_the_original_ones(
    mfer: Mfer, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    trained, run = write_run(tmp_path / "x"), tmp_path / "kept"
    whole = json.loads((trained / "result.json").read_text())
    keep_study([trained], tmp_path / "archive")
    unpack_run(read_archive(tmp_path / "archive" / "runs.npz")[0], run)
    for name in ("predictions_test.csv", "predictions_test.csv.xz"):
        assert mfer("evaluate", f"predictions={run / name}", f"output={name}.d") == 0
        found = json.loads((tmp_path / f"{name}.d" / "evaluation.json").read_text())
        assert found["confusion"] == whole["confusion"]
        assert found["metrics"] == pytest.approx(whole["metrics"], abs=1e-3)
    capsys.readouterr()
    assert mfer("evaluate", f"predictions={run / 'predictions_test.csv'}", "calibrate=true") == 2
    assert "predictions_val.csv next to" in capsys.readouterr().err
