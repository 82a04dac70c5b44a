"""The dashboard uses only names that runs really log."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tracking.wandb_folder import OfflineRun, read_offline_runs

from mfer_lightning.sweeps.identity import setting_name
from mfer_lightning.tracking import names
from mfer_lightning.tracking.dashboards.charts import BAR_FIELDS, CHARTS, HEAT_FIELDS
from mfer_lightning.tracking.dashboards.runs import read_runs

pytestmark = pytest.mark.slow  # trains two runs

definition = pytest.importorskip("mfer_lightning.tracking.dashboards.definition")

#: Strings of a definition that must be logged names.
LOGGED = re.compile(r"^(?:summary:)?((?:train|val|test|selection|cost|figures|examples|track_test)/\S+)$")


@pytest.fixture(scope="module")
def logged(ablation: Path) -> dict[str, OfflineRun]:
    """The logged data of each run, by loss."""
    runs = [read_offline_runs(run)[0] for run in ablation.iterdir() if (run / "result.json").is_file()]
    return {run.config["loss"]["name"]: run for run in runs}


@pytest.fixture(scope="module")
def built(ablation: Path) -> dict[str, Any]:
    return built_from(ablation)


def built_from(folder: Path) -> dict[str, Any]:
    dashboard = definition.build_dashboard(read_runs([str(folder)], setting_name), "team", "mfer_lightning", "Ablation")
    return json.loads(json.dumps(dashboard.to_dict()))


def strings(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield key
            yield from strings(value)
    elif isinstance(node, list):
        for value in node:
            yield from strings(value)
    elif isinstance(node, str):
        yield node


def panels(built: dict[str, Any]) -> list[dict[str, Any]]:
    grids = [b for b in built["report"]["spec"]["blocks"] if b["type"] == "panel-grid"]
    found = [p for g in grids for p in g["metadata"]["panelBankSectionConfig"]["panels"]]
    for workspace in built["workspaces"]:
        found += [p for s in workspace["spec"]["section"]["panelBankConfig"]["sections"] for p in s["panels"]]
    return found


def test_every_name_in_the_definition_is_logged_by_a_run(built: dict[str, Any], logged: dict[str, OfflineRun]) -> None:
    asked = {match[1] for text in strings(built) if (match := LOGGED.match(text))}
    available = set.union(*(run.keys for run in logged.values()))
    assert asked <= available
    assert {"test/accuracy", "val/accuracy", "train/feature", "test/recall/fear", "selection/value"} <= asked
    assert {"test/per_class", "test/figures", "figures/confusion", "figures/embedding", "examples/grid"} <= asked
    assert names.FEATURE_LOSS not in logged["ce"].keys


def test_names_that_no_run_logs_are_not_used(ablation: Path, tmp_path: Path) -> None:
    (plain := tmp_path / "plain").mkdir()
    run = next(run for run in ablation.iterdir() if "-ce-" in run.name)
    result = json.loads((run / "result.json").read_text())
    result["config"]["evaluation"]["embedding_points"] = 0
    result["config"]["logger"]["images"] = False
    (plain / "result.json").write_text(json.dumps(result))
    (plain / "config.yaml").write_text("")
    asked = set(strings(built_from(plain)))
    assert not asked & {names.FEATURE_LOSS, names.picture(names.EMBEDDING), names.EXAMPLE_GRID}


def test_panels_group_and_filter_by_logged_configuration_keys(
    built: dict[str, Any], logged: dict[str, OfflineRun]
) -> None:
    paths = {p["config"]["groupBy"] for p in panels(built) if "groupBy" in p["config"]}
    runset = built["workspaces"][0]["spec"]["section"]["runSets"][0]
    filters = {f["key"]["name"]: f["value"] for f in runset["filters"]["filters"]}
    assert filters == {"protocol.value": ["facs@native"], "split.value": ["test"], "group": ["ablation"]}
    paths |= {name for name in filters if name != "group"}
    paths |= {c.removeprefix("config:") for c in runset["runFeed"]["columnOrder"] if c.startswith("config:")}
    assert paths == {
        "setting.value", "protocol.value", "split.value", "seed.value", "loss.value.name", "backbone.value.name"
    }  # fmt: skip
    for path in paths:
        first, *rest = path.replace(".value", "", 1).split(".")
        value = logged["dsf"].config[first]
        for key in rest:
            value = value[key]
        assert value is not None, path
    assert runset["sort"]["keys"][0]["key"] == {"section": "summary", "name": "selection/value"}, "the best on val"


def test_curves_use_epochs_and_bars_show_the_spread_over_seeds(built: dict[str, Any]) -> None:
    curves = [p["config"] for p in panels(built) if p["viewType"] == "Run History Line Plot"]
    assert {c["xAxis"] for c in curves} == {"epoch"}
    bars = [p["config"] for p in panels(built) if p["viewType"] == "Bar Chart"]
    for config in (*curves, *bars):
        assert (config["groupBy"], config["groupAgg"], config["groupArea"]) == ("setting.value", "mean", "stddev")


def test_charts_use_existing_table_columns(built: dict[str, Any], logged: dict[str, OfflineRun]) -> None:
    charts = [p["config"] for p in panels(built) if p["viewType"] == "Vega2"]
    assert {c["panelDefId"].removeprefix("team/") for c in charts} == set(CHARTS) == set(built["charts"])
    for config in charts:
        fields = config["userQuery"]["queryFields"][0]["fields"]
        (key,) = [f["args"][0]["value"] for f in fields if f["name"] == "summaryTable"]
        columns, rows = logged["dsf"].table(key)
        assert set(config["fieldSettings"].values()) <= set(columns)
        assert rows
    for name, fields in (("mfer-loss-by-backbone", BAR_FIELDS), ("mfer-class-recall", HEAT_FIELDS)):
        wanted = set(re.findall(r"\$\{field:(\w+)\}", json.dumps(CHARTS[name][1])))
        assert wanted == set(fields)


def test_loss_by_backbone_requires_runs_that_differ_only_in_seed(ablation: Path) -> None:
    runs = read_runs([str(ablation)], setting_name)
    mixed = [*runs, type(runs[0])(runs[0].folder, runs[0].result, "another setting")]
    (plain, *_), (apart, *_) = (
        [p for p in panels(definition.build_dashboard(r, "t", "p", "x").to_dict()) if p["viewType"] == "Vega2"]
        for r in (runs, mixed)
    )
    assert plain["config"]["fieldSettings"]["loss"] == "loss"
    assert apart["config"]["fieldSettings"]["loss"] == "setting"


def test_protocols_never_share_a_panel(ablation: Path) -> None:
    runs = read_runs([str(ablation)], setting_name)
    other = {**runs[1].result, "protocol": "rafdb@holdout", "split": "val"}
    built = definition.build_dashboard([runs[0], type(runs[0])(runs[1].folder, other, "s")], "t", "p", "x").to_dict()
    assert len(built["workspaces"]) == 2
    for block in built["report"]["spec"]["blocks"]:
        if block["type"] == "panel-grid":
            (runset,) = block["metadata"]["runSets"]
            (protocol,) = next(f["value"] for f in runset["filters"]["filters"] if f["key"]["name"] == "protocol.value")
            asked = {m[1] for text in strings(block["metadata"]["panelBankSectionConfig"]) if (m := LOGGED.match(text))}
            assert not [a for a in asked if protocol == "rafdb@holdout" and a.startswith("test/")]
    assert "selection results, not test results" in json.dumps(built)
