"""`mfer report` through the command line: folders and options, and one clear message per error."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import pytest
from commands.conftest import FACS, Mfer
from reporting.fabricate import write_run

QUICK = "embedding=none"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two losses with one seed each; read only."""
    folder = tmp_path_factory.mktemp("report") / "two"
    for loss in ("ce", "dsf"):
        write_run(folder, loss, n=70, features=False)
    return folder


def test_folders_are_reported_under_their_own_names(
    mfer: Mfer, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    one, other = (str(runs / f"rafdb-{loss}-none-s0") for loss in ("ce", "dsf"))
    assert mfer("report", one, other, QUICK, "baseline=loss=dsf", "output=here/r", "title=Losses, compared") == 0
    said = capsys.readouterr().out
    assert "rafdb@holdout, test: baseline loss=dsf" in said
    assert "Report: here/r/report.html" in said
    assert "<h1>Losses, compared</h1>" in (tmp_path / "here" / "r" / "report.html").read_text()
    with (tmp_path / "here" / "r" / "tables" / "runs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["loss"], row["seed"], row["n"]) for row in rows] == [("ce", "0", "70"), ("dsf", "0", "70")]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "Name the runs"),
        (("runs=[]",), "Name the runs"),
        (("runs=3",), "There is no folder 3"),
        (("nowhere",), "There is no folder nowhere"),
        (("{empty}",), "no finished run to report on"),
        (("{damaged}",), "damaged"),
        (("{runs}", "runs={runs}"), "not both"),
        (("{runs}", "metric=acuracy"), "did you mean 'accuracy'"),
        (("{runs}", "embedding=umap"), "legal: tsne, pca, none"),
        (("{runs}", "embedding_points=-1"), "at least 0"),
        (("{runs}", "baseline=loss=lgm"), "loss=ce|dsf"),
        (("{runs}", "axes=[backbone]"), "the runs do not differ in it"),
        (("{runs}", "baselin=x"), "baselin"),
        (("{runs}", "contrasts=nowhere.yaml"), "nowhere.yaml: cannot be read (No such file"),
        (("{runs}", "contrasts="), "contrasts= has no value"),
        (("{runs}", "contrasts={damaged}/result.json"), "result.json: is not a YAML file"),
        (("{runs}", "contrasts={empty}"), "cannot be read"),
        (("{runs}", "output={runs}"), "exists and is not a report"),
    ],
)
def test_invalid_arguments_raise_one_clear_error(
    mfer: Mfer, arguments: tuple[str, ...], words: str, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    places = {"runs": runs, "empty": tmp_path / "empty", "damaged": tmp_path / "damaged"}
    for name in ("empty", "damaged"):
        places[name].mkdir()
    (places["damaged"] / "result.json").write_text("{")
    assert mfer("report", *(a.format(**places) for a in arguments)) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.strip().count("\n") == 0
    assert not list(runs.glob("*report*"))


PLAN = "contrasts:\n  - {{name: loss, method: {{loss: dsf}}, against: {{loss: {other}}}, claim: better}}\n"


def test_planned_contrasts_are_printed(mfer: Mfer, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    plan = tmp_path / "my plan, final.yaml"
    plan.write_text(PLAN.format(other="ce"))
    assert mfer("report", str(runs), QUICK, f"contrasts={plan.name}", "output=r") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith(
        "  Planned contrasts: 1 undecided (loss). This comparison of two methods is planned in my plan, final.yaml."
    )
    assert lines[2].startswith("  Planned, loss: undecided. Too few seeds: loss=dsf has 1, loss=ce has 1")
    assert lines[3].startswith("  The following comparisons were not planned.")
    text = (tmp_path / "r" / "report.md").read_text()
    assert "'contrasts=my plan, final.yaml'" in text
    assert hashlib.sha256(plan.read_bytes()).hexdigest() in text


def test_contrast_without_matching_method_writes_no_report(
    mfer: Mfer, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "plan.yaml").write_text(PLAN.format(other="lgm"))
    assert mfer("report", str(runs), QUICK, "contrasts=plan.yaml", "output=r") == 2
    error = capsys.readouterr().err
    assert "contrast 'loss': `against` loss=lgm matches no method" in error
    assert "The methods are: loss=ce; loss=dsf." in error
    assert error.strip().count("\n") == 0
    assert not (tmp_path / "r").exists()


@pytest.mark.slow
def test_sweep_report_can_be_disabled_and_never_fails_the_sweep(
    mfer: Mfer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    sweep = (
        "-m",
        *FACS,
        "trainer.max_epochs=1",
        "dataset.train_size=32",
        "evaluation.embedding_points=0",
        "name=s",
        "loss=ce",
    )
    assert mfer(*sweep, "report=false") == 0
    assert not (tmp_path / "runs" / "s" / "report").exists()
    before = {p.name for p in (tmp_path / "runs" / "s").glob("facs-*")}
    assert mfer(*sweep) == 0  # the finished job is skipped: report= is not part of a run's identity
    assert {p.name for p in (tmp_path / "runs" / "s").glob("facs-*")} == before
    assert f"Report: {Path('runs/s/report/report.html')}" in capsys.readouterr().out
    page = (tmp_path / "runs" / "s" / "report" / "report.html").read_text()
    assert "There is no other method to compare it with" in page
    assert "name=s" in page

    def fail(*_: object) -> None:
        raise ValueError("no\nink")

    monkeypatch.setattr("mfer_lightning.reporting.pages.write.write_report", fail)
    assert mfer(*sweep) == 0
    assert "No report was written (no ink). Try again with: mfer report runs/s" in capsys.readouterr().out
