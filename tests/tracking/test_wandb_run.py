"""`logger=wandb` without a key: the offline folder contains all data of the run."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from commands.conftest import FACS, only_run
from commands.conftest import command as mfer
from PIL import Image
from tracking.wandb_folder import OfflineRun, read_offline_runs
from wandb.errors import AuthenticationError, CommError

from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.metrics import evaluate
from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.module import FERModule
from mfer_lightning.tracking import names
from mfer_lightning.tracking.wandb_run import ID_FILE, RunWandbLogger, read_id


@pytest.fixture(scope="module")
def run(ablation: Path) -> Path:
    """A finished run of a sweep named `ablation`."""
    (run,) = [folder for folder in ablation.iterdir() if "-dsf-s3-" in folder.name]
    return run


@pytest.fixture(scope="module")
def logged(run: Path) -> OfflineRun:
    found = read_offline_runs(run)
    assert len(found) == 1
    return found[0]


@pytest.fixture(scope="module")
def result(run: Path) -> dict[str, Any]:
    return json.loads((run / "result.json").read_text(encoding="utf-8"))


def test_run_has_its_project_group_tags_and_state(logged: OfflineRun, run: Path) -> None:
    assert (logged.project, logged.group, logged.job_type) == ("mfer_lightning", "ablation", "train")
    assert logged.tags == ["facs", "dsf", "convnext_64px", "ds"]
    assert logged.id == read_id(run)
    assert logged.exit_code == 0


def test_resolved_configuration_can_be_filtered(logged: OfflineRun, result: dict[str, Any]) -> None:
    for node, value in result["config"].items():
        assert logged.config[node] == value, node
    assert logged.config["optimizer"]["lr"] == result["config"]["optimizer"]["lr"]
    assert set(names.FACTS) <= set(logged.config)
    assert (logged.config["protocol"], logged.config["split"]) == ("facs@native", "test")
    assert logged.config["parameters"] == result["cost"]["parameters"]
    assert logged.config["setting"].startswith("dsf convnext_64px ds ")


def test_curves_match_metrics_csv_with_one_row_per_epoch(logged: OfflineRun, run: Path) -> None:
    with (run / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in logged.history] == [0, 1]
    for mine, theirs in zip(logged.history, rows, strict=True):
        for name in (*names.CURVES, names.FEATURE_LOSS):
            assert mine[name] == pytest.approx(float(theirs[name]), rel=1e-4, abs=1e-6), name
    assert len(rows[0]) - 2 == len([k for k in logged.history[0] if not k.startswith("_") and k != "epoch"])


def test_summary_contains_the_metrics_of_the_selected_checkpoint(
    logged: OfflineRun, run: Path, result: dict[str, Any]
) -> None:
    for metric, value in result["metrics"].items():
        assert logged.summary[names.figure("test", metric)] == pytest.approx(value)
    for name, figures in result["per_class"].items():
        assert logged.summary[names.recall("test", name)] == figures["recall"]
    val = evaluate(Predictions.from_csv(run / "predictions_val.csv"))["metrics"]
    assert logged.summary["val/macro_f1"] == pytest.approx(val["macro_f1"], abs=1e-9)
    assert logged.summary[names.SELECTION_EPOCH] == result["selection"]["epoch"]
    assert logged.summary["cost/gflops"] == result["cost"]["gflops"]


def test_tables_match_the_result(logged: OfflineRun, result: dict[str, Any]) -> None:
    columns, rows = logged.table(names.class_table("test"))
    assert tuple(columns) == names.CLASS_COLUMNS
    assert {row[0]: (row[1], row[3]) for row in rows} == {
        name: (figures["n"], figures["recall"]) for name, figures in result["per_class"].items()
    }
    columns, rows = logged.table(names.figure_table("test"))
    assert tuple(columns) == names.FIGURE_COLUMNS
    assert rows[0][columns.index("accuracy")] == pytest.approx(result["metrics"]["accuracy"])
    columns, rows = logged.table(names.confusion("test") + "_table")
    order = result["class_names"]
    assert columns == ["Actual", "Predicted", "nPredictions"]
    assert {(order.index(a), order.index(p)): n for a, p, n in rows} == {
        (i, j): n for i, row in enumerate(result["confusion"]) for j, n in enumerate(row)
    }


def test_every_figure_and_the_example_grid_are_valid_images(logged: OfflineRun, run: Path) -> None:
    expected = {*map(names.picture, (*names.FIGURES, names.EMBEDDING)), names.EXAMPLE_GRID}
    assert {names.picture(path.stem) for path in (run / "figures").glob("*.png")} | {names.EXAMPLE_GRID} == expected
    for name in expected:
        with Image.open(logged.folder / "files" / logged.media(name)["path"]) as image:
            assert min(image.size) >= 300, name


def test_examples_are_the_most_confident_correct_and_wrong_faces(logged: OfflineRun, run: Path) -> None:
    columns, rows = logged.table(names.EXAMPLE_TABLE)
    table = Predictions.from_csv(run / "predictions_test.csv")
    assert tuple(columns[: len(names.EXAMPLE_COLUMNS)]) == names.EXAMPLE_COLUMNS
    place = {str(path): i for i, path in enumerate(table.path)}
    assert {row[1] for row in rows} == {"right", "wrong"}
    for row in rows:
        i = place[row[5]]
        assert (row[2], row[3]) == (table.class_names[table.label[i]], table.class_names[table.pred[i]])
        assert (row[2] == row[3]) == (row[1] == "right")
        assert row[4] == pytest.approx(table.probabilities[i].max(), abs=1e-6)
    wrong = table.probabilities.max(axis=1)[table.pred != table.label]
    assert max(row[4] for row in rows if row[1] == "wrong") == pytest.approx(wrong.max(), abs=1e-6)
    assert not list(run.glob("figures/*example*")), "example faces must not be stored in a folder that might be shared"


def test_selected_checkpoint_is_an_artifact_uploaded_in_place(logged: OfflineRun, run: Path) -> None:
    artifact = logged.artifacts[f"model:{run.name}"]
    (entry,) = artifact.manifest.contents
    best = run / "checkpoints" / "best.ckpt"
    assert (entry.path, entry.size) == ("best.ckpt", best.stat().st_size)
    assert Path(entry.local_path) == best.resolve()
    assert "best" in artifact.aliases
    assert json.loads(artifact.metadata)["protocol"] == "facs@native"


def test_neither_code_nor_a_patch_of_a_foreign_repository_is_stored(logged: OfflineRun) -> None:
    stored = {path.name for path in (logged.folder / "files").iterdir()}
    assert stored <= {"media", "requirements.txt", "wandb-metadata.json", "artifact"}
    assert b"git" not in logged.text.split(b"git_commit")[0]


@pytest.mark.slow
def test_interrupted_run_is_marked_killed_and_resumes_under_its_id(
    tmp_path: Path, wandb_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)  # not where W&B's process was started: the folder must be found anyway
    options = ("logger=wandb", "logger.images=false", "logger.checkpoints=false", "track_test=true")
    options = (*FACS, *options, "evaluation.embedding_points=0")

    def interrupt(self: FERModule) -> None:
        if self.current_epoch == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(FERModule, "on_train_epoch_start", interrupt)
        assert mfer(*options) == 130
    assert mfer(*options) == 0
    run = only_run(tmp_path / "runs")
    cut, rest = read_offline_runs(run)
    assert cut.id == rest.id
    assert (cut.exit_code, rest.exit_code) == (255, 0)
    assert [row["epoch"] for row in (*cut.history, *rest.history)] == [0, 1]
    assert cut.group == "", "a run on its own has no group"
    assert [row["_step"] for row in cut.history] < [row["_step"] for row in rest.history]

    assert not [key for key in rest.keys if key.startswith("examples")]
    assert not [key for key in rest.artifacts if key.startswith("model:")]
    assert "track_test/accuracy" not in cut.keys | rest.keys
    _, rows = rest.table("track_test/by_epoch")
    assert {(row[0], row[1]) for row in rows} >= {("track_test/accuracy", 0), ("track_test/accuracy", 1)}

    screen = capsys.readouterr()
    assert "wandb:" not in screen.out + screen.err
    assert f"wandb sync {Path('runs') / run.name}/wandb/offline-run-*" in screen.out


class Broken:
    """A W&B run whose service has died."""

    def __init__(self) -> None:
        self.config = SimpleNamespace(update=self.fail)
        self.offline = True

    def fail(self, *_: object, **__: object) -> None:
        raise ConnectionResetError("the service has died")

    log = finish = mark_preempting = fail


def logger_in(run_dir: Path, **options: Any) -> RunWandbLogger:
    defaults = {"project": "p", "entity": None, "group": None, "tags": [], "mode": "online"}
    return RunWandbLogger(run_dir, {}, **{**defaults, "images": True, "checkpoints": True, **options})


def test_wandb_failure_does_not_stop_training_and_is_reported_once(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    logger = logger_in(tmp_path)
    logger._experiment = Broken()
    logger.start({"protocol": "facs@native"})
    for step in range(3):
        logger.log_metrics({"train/loss": 1.0}, step)
    logger.finish(0)
    assert capsys.readouterr().out.count("the service has died") == 1


@pytest.mark.parametrize("error", [CommError("timed out after 90 s"), TimeoutError()])
def test_unreachable_wandb_falls_back_to_offline(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    started: list[dict[str, Any]] = []

    def init(**options: Any) -> Any:
        started.append(options)
        if options["mode"] == "online":
            raise error
        return SimpleNamespace(define_metric=lambda *_, **__: None, config={}, offline=True, id=options["id"])

    monkeypatch.setattr("wandb.init", init)
    monkeypatch.setattr("wandb.setup", lambda **_: None)
    monkeypatch.setattr("wandb.teardown", lambda: None)
    run = tmp_path / "run"
    run.mkdir()
    logger_in(run).start({})
    assert [options["mode"] for options in started] == ["online", "offline"]
    assert started[0]["id"] == started[1]["id"] == read_id(run)
    assert started[0]["resume"] == "allow"
    assert "logged offline" in capsys.readouterr().out
    moved = run.rename(tmp_path / "moved")
    logger_in(moved, mode="offline").start({})
    assert started[2]["id"] == started[0]["id"], "the id belongs to the folder, wherever it lies"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (AuthenticationError("API key is invalid"), "wandb login"),
        (CommError("entity nobody not found"), "logger.entity=nobody"),
    ],
)
def test_wandb_errors_are_reported_in_one_message(
    error: Exception, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def init(**_: Any) -> None:
        raise error

    monkeypatch.setattr("wandb.init", init)
    monkeypatch.setattr("wandb.setup", lambda **_: None)
    with pytest.raises(UserError, match=words):
        logger_in(tmp_path, entity="nobody").start({})
    assert not (tmp_path / ID_FILE).exists(), "a run that never started leaves nothing"
