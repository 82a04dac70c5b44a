"""`logger=mlflow` and `logger=comet` without network access: the data of a run are read back."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from commands.conftest import FEW, Mfer, mfer, only_run  # noqa: F401 - mfer is a fixture

from mfer_lightning.config.compose import compose_train
from mfer_lightning.errors import UserError
from mfer_lightning.module import FERModule
from mfer_lightning.tracking import names
from mfer_lightning.tracking.loggers import check_loggers


def interrupted_once(mfer: Mfer, monkeypatch: pytest.MonkeyPatch, *options: str) -> None:  # noqa: F811
    """A run stopped by Ctrl-C in its second epoch, and finished by the same command."""

    def interrupt(self: FERModule) -> None:
        if self.current_epoch == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(FERModule, "on_train_epoch_start", interrupt)
        assert mfer(*FEW, "track_test=true", *options) == 130
    assert mfer(*FEW, "track_test=true", *options) == 0


def test_mlflow_stores_curves_metrics_and_files_in_one_run(
    mfer: Mfer,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mlflow = pytest.importorskip("mlflow", reason="needs the extra mlflow")
    pytest.importorskip("sqlalchemy", reason="needs the extra mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    options = ("logger=mlflow", "logger.experiment_name=pilot", "logger.tags={stage:one}", "logger.checkpoints=true")
    interrupted_once(mfer, monkeypatch, *options)
    run = only_run(tmp_path / "runs")
    result = json.loads((run / "result.json").read_text())
    client = mlflow.tracking.MlflowClient(f"sqlite:///{run}/mlflow/mlflow.db")
    (experiment,) = client.search_experiments(filter_string="name = 'pilot'")
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.run_id == (run / "mlflow_id.txt").read_text().strip()
    assert (found.info.status, found.info.run_name) == ("FINISHED", run.name)
    assert (found.data.tags["stage"], found.data.tags["protocol"]) == ("one", "facs@native")
    assert float(found.data.params["optimizer/lr"]) == result["config"]["optimizer"]["lr"]
    for name in (*names.CURVES, names.FEATURE_LOSS, "track_test/accuracy"):
        assert [point.step for point in client.get_metric_history(found.info.run_id, name)] == [0, 1], name
    assert found.data.metrics["test/accuracy"] == pytest.approx(result["metrics"]["accuracy"])
    assert "selected/val/accuracy" in found.data.metrics
    held = {
        f.path
        for top in client.list_artifacts(found.info.run_id)
        for f in [top, *client.list_artifacts(found.info.run_id, top.path)]
    }
    assert {"result.json", "figures/confusion.png", "examples/examples.png", "checkpoints/best.ckpt"} <= held


def test_unreachable_server_does_not_stop_training(
    mfer: Mfer,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    pytest.importorskip("mlflow", reason="needs the extra mlflow")
    for name, value in (("MAX_RETRIES", "0"), ("TIMEOUT", "2")):
        monkeypatch.setenv(f"MLFLOW_HTTP_REQUEST_{name}", value)
    assert mfer(*FEW, "logger=mlflow", "logger.tracking_uri=http://127.0.0.1:9") == 0
    assert (only_run(tmp_path / "runs") / "result.json").is_file()
    assert capsys.readouterr().out.count("MLflow failed, and the run continues without it") == 1


def messages(archive: Path) -> list[dict[str, Any]]:
    with zipfile.ZipFile(archive) as file:
        return [json.loads(line) for line in file.read("messages.json").decode().splitlines()]


def test_comet_archives_contain_curves_and_metrics_under_one_key(
    mfer: Mfer,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    pytest.importorskip("comet_ml", reason="needs the extra comet")
    monkeypatch.delenv("COMET_API_KEY", raising=False)
    monkeypatch.setenv("COMET_CONFIG", str(tmp_path / "none"))
    interrupted_once(mfer, monkeypatch, "logger=comet", "logger.tags=[pilot]")
    run = only_run(tmp_path / "runs")
    result = json.loads((run / "result.json").read_text())
    archives = sorted((run / "comet").glob("*/*.zip"), key=lambda path: path.stat().st_mtime_ns)
    assert {path.name[:32] for path in archives} == {(run / "comet_key.txt").read_text().strip()}
    assert len(archives) == 2
    figures: dict[str, list[tuple[int, float]]] = {}
    for message in (m for archive in archives for m in messages(archive)):
        if message["type"] == "metric_msg":
            metric = message["payload"]["metric"]
            figures.setdefault(metric["metricName"], []).append((metric["step"], metric["metricValue"]))
    for name in (*names.CURVES, names.FEATURE_LOSS, "track_test/accuracy"):
        assert [step for step, _ in figures[name]] == [0, 1], name
    assert figures["test/accuracy"][-1][1] == pytest.approx(result["metrics"]["accuracy"])
    screen = capsys.readouterr()
    assert "COMET" not in screen.out + screen.err
    assert "comet upload" in screen.out


@pytest.mark.parametrize(
    ("logger", "module", "option", "words"),
    [
        ("mlflow", "mlflow", "run_nam", "no option `run_nam`: did you mean 'run_name'"),
        ("mlflow", "mlflow", "run_id", "stored in the run's folder"),
        ("comet", "comet_ml", "api_key", "set COMET_API_KEY"),
        ("comet", "comet_ml", "projct", "no option `projct`: did you mean 'project'"),
    ],
)
def test_invalid_options_raise_one_clear_error(logger: str, module: str, option: str, words: str) -> None:
    pytest.importorskip(module, reason=f"needs the extra {logger}")
    with pytest.raises(UserError, match=words):
        check_loggers(compose_train([f"logger={logger}", f"logger.{option}=x"])["logger"])


@pytest.mark.parametrize("logger", ["mlflow", "comet"])
def test_missing_package_names_the_extra(logger: str, monkeypatch: pytest.MonkeyPatch) -> None:
    node = compose_train([f"logger={logger}"])["logger"]
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UserError, match=rf"mfer_lightning\[{logger}\]"):
        check_loggers(node)
