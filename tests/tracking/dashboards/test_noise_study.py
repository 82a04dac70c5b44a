"""The dashboard of a label-noise study: panels for each noise level, averaged over seeds; verdicts as an artifact."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from reporting.fabricate import write_run
from tracking.dashboards.test_definition import panels
from tracking.wandb_folder import read_offline_runs

from mfer_lightning.cli import main
from mfer_lightning.sweeps.identity import setting_name
from mfer_lightning.tracking.dashboards.runs import FinishedRun, read_runs
from mfer_lightning.tracking.dashboards.tables import method_by_noise

definition = pytest.importorskip("mfer_lightning.tracking.dashboards.definition")

PLAN = """
protocol: rafdb@holdout
contrasts:
  - name: SCN under noise
    method: { method: scn, label noise: 0.2 }
    against: { method: baseline, label noise: 0.2 }
    claim: better
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two methods at two levels of noise, three seeds each; SCN is better only under noise."""
    folder = tmp_path_factory.mktemp("noise") / "study"
    for method in ("baseline", "scn"):
        for noise in (0.0, 0.2):
            for seed in range(3):
                write_run(
                    folder, seed=seed, n=300, accuracy=0.8 if method == "scn" or noise == 0 else 0.5, features=False,
                    name=f"{method}-{noise}-s{seed}", changes={"method.name": method, "dataset.label_noise": noise},
                )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def runs(study: Path) -> list[FinishedRun]:
    return read_runs([str(study)], setting_name)


def test_table_has_methods_as_rows_and_noise_as_columns(runs: list[FinishedRun]) -> None:
    head, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in method_by_noise(runs).split("\n")
    ]
    assert head == ["method", "clean labels", "label noise 20%"]
    assert len(rows) == 2
    assert " scn " in rows[1][0]
    assert all(cell.endswith("(3)") for row in rows for cell in row[1:])
    assert float(rows[0][2][:5]) < float(rows[1][2][:5]) - 20


def test_each_noise_rate_has_its_own_panels_and_workspace(runs: list[FinishedRun]) -> None:
    built = json.loads(json.dumps(definition.build_dashboard(runs, "team", "faces", "Noise").to_dict()))
    assert [w["displayName"].partition(", test")[2] for w in built["workspaces"]] == [
        "",
        ", clean labels",
        ", label noise 20%",
    ]

    def noise_of(runsets: list[dict[str, Any]]) -> list[Any]:
        filters = [f for r in runsets for f in r["filters"]["filters"]]
        return [f["value"] for f in filters if f["key"]["name"] == "dataset.value.label_noise"]

    assert [noise_of(w["spec"]["section"]["runSets"]) for w in built["workspaces"]] == [[], [[0.0]], [[0.2]]]
    blocks = built["report"]["spec"]["blocks"]
    grids = [b["metadata"] for b in blocks if b["type"] == "panel-grid" and noise_of(b["metadata"]["runSets"])]
    assert [noise_of(grid["runSets"]) for grid in grids] == [[[0.0]], [[0.2]]]
    for grid in grids:
        bars, curves = (p["config"] for p in grid["panelBankSectionConfig"]["panels"])
        assert bars["metrics"] == ["test/accuracy"]
        assert curves["metrics"] == ["val/accuracy"]
        assert {bars["groupBy"], curves["groupBy"]} == {"setting.value"}


def test_runs_with_one_noise_rate_have_no_such_section(runs: list[FinishedRun]) -> None:
    clean = [run for run in runs if run.noise == 0]
    built = definition.build_dashboard(clean, "team", "faces", "Clean").to_dict()
    assert len(built["workspaces"]) == 1
    assert "label noise" not in json.dumps(built["report"])
    assert panels(built)


def test_verdicts_are_a_table_and_an_artifact_of_an_offline_run(
    study: Path, tmp_path: Path, wandb_home: Path, capsys: pytest.CaptureFixture
) -> None:
    plan, output = tmp_path / "plan.yaml", tmp_path / "out" / "dashboard.json"
    plan.write_text(PLAN)
    with pytest.raises(SystemExit) as stop:
        main(["dashboard", f"runs={study}", f"contrasts={plan}", f"output={output}", "entity=team", "project=faces"])
    assert not stop.value.code
    with (tmp_path / "out" / "verdicts.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["contrast"], row["protocol"], row["split"], row["outcome"]) == (
        "SCN under noise",
        "rafdb@holdout",
        "test",
        "confirmed",
    )
    (logged,) = read_offline_runs(tmp_path / "out")
    assert (logged.job_type, logged.project, logged.exit_code) == ("verdicts", "faces", 0)
    columns, rows = logged.table("verdicts")
    assert dict(zip(columns, rows[0], strict=True))["outcome"] == "confirmed"
    assert logged.summary["verdicts/confirmed"] == 1
    artifact = logged.artifacts["verdicts:verdicts"]
    assert [entry.path for entry in artifact.manifest.contents] == ["verdicts.csv"]
    said = capsys.readouterr().out
    assert f"wandb sync {logged.folder}" in said
    assert f"contrasts={plan}" in said
    report = json.dumps(json.loads(output.read_text())["report"])
    assert "Planned contrasts" in report
    assert "SCN under noise" in report
