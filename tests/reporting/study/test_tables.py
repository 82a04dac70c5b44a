"""Tables contain the right numbers, and published results only for the right dataset."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from reporting.fabricate import change, write_run

from mfer_lightning.evaluation.compactness import compactness
from mfer_lightning.evaluation.intervals import wilson
from mfer_lightning.evaluation.runs import find_results
from mfer_lightning.evaluation.statistics.seeds import interval_over_seeds_and_faces
from mfer_lightning.figures.plane import Plane, plane_of
from mfer_lightning.inference.predict_split import write_features
from mfer_lightning.reporting.study.ablation_tables import ablation_tables, class_table
from mfer_lightning.reporting.study.comparisons import compare
from mfer_lightning.reporting.study.feature_space import compactness_table, measure_features, subgroup_table
from mfer_lightning.reporting.study.method_intervals import Covers, MethodInterval, method_interval
from mfer_lightning.reporting.study.method_tables import (
    cost_table,
    further_table,
    main_table,
    optimism_table,
    published,
    published_table,
)
from mfer_lightning.reporting.study.runs import open_runs
from mfer_lightning.reporting.study.sections import Section, make_sections
from mfer_lightning.reporting.study.tables import Table


def section_of(folder: Path) -> Section:
    section = make_sections(open_runs(find_results([folder]).results)[0])[0][0]
    compare(section, "accuracy")
    return section


@pytest.fixture(scope="module")
def section(study: Path) -> Section:
    return section_of(study)


def texts(table: Table) -> list[list[str]]:
    return [[cell.text for cell in row] for row in table.rows]


def test_main_table_has_mean_spread_and_interval(section: Section) -> None:
    table = main_table(section, "accuracy")
    values = [run.metric("accuracy") for run in section.methods[1].runs]
    low, high = interval_over_seeds_and_faces(values, [wilson(round(420 * v), 420) for v in values])
    row = texts(table)[1]
    assert row[:3] == ["ce", "ds", "3"]
    assert row[3] == f"{100 * np.mean(values):.2f} ± {100 * np.std(values, ddof=1):.2f}"
    assert row[6] == f"{100 * low:.2f} to {100 * high:.2f}"
    assert table.rows[1][6].below == table.data[1]["accuracy_interval"] == "over seeds and faces"
    assert row[-1] == "▲ better"
    assert texts(table)[0][-1] == "baseline"
    data, comparison = table.data[1], section.comparisons["loss=ce, attention=ds"]
    assert data["accuracy"] == pytest.approx(np.mean(values), abs=1e-12)
    assert data["baseline_difference"] == pytest.approx(comparison.difference, abs=1e-12)
    assert data["baseline_adjusted_p_value"] == pytest.approx(comparison.adjusted_p_value, abs=1e-12)


def test_one_seed_has_no_spread_and_a_wilson_interval(tmp_path: Path) -> None:
    write_run(tmp_path, n=200)
    section = section_of(tmp_path)
    accuracy = section.methods[0].runs[0].metric("accuracy")
    low, high = wilson(round(200 * accuracy), 200)
    (row,) = main_table(section, "accuracy").rows
    assert row[2].text == f"{100 * accuracy:.2f}"
    assert (row[5].text, row[5].below) == (f"{100 * low:.2f} to {100 * high:.2f}", "over faces")


@pytest.mark.parametrize(("seeds", "covers"), [(2, "faces"), (3, "seeds and faces")])
def test_agreeing_seeds_do_not_narrow_the_interval_over_faces(tmp_path: Path, seeds: int, covers: Covers) -> None:
    for seed in range(seeds):
        run = write_run(tmp_path, seed=seed, n=100)
        metrics = json.loads((run / "result.json").read_text())["metrics"]
        change(run, metrics={**metrics, "accuracy": 0.14})
    (method,) = section_of(tmp_path).methods
    found = method_interval(method, "accuracy")
    assert found is not None
    assert (found.low, found.high) == pytest.approx(wilson(14, 100))
    assert found.covers == covers


def test_interval_is_grouped_if_the_result_is(tmp_path: Path) -> None:
    change(write_run(tmp_path, n=100), intervals={"accuracy": [0.55, 0.8]})
    (method,) = section_of(tmp_path).methods
    assert method_interval(method, "accuracy") == MethodInterval(0.55, 0.8, "faces")


def test_two_axes_form_a_cross_table(section: Section) -> None:
    (table,) = ablation_tables(section, "accuracy")
    assert [c.title for c in table.columns] == ["loss \\ attention", "none", "ds"]
    means = {m.values: np.mean(m.figures("accuracy")) for m in section.methods}
    for row in table.data:
        for attention in ("none", "ds"):
            assert row[f"attention={attention}"] == pytest.approx(means[row["loss"], attention])
    assert table.rows[0][2].text.endswith("▲")


def test_further_axes_are_fixed_to_one_value_each(tmp_path: Path) -> None:
    for loss in ("ce", "dsf"):
        for attention in ("none", "ds"):
            for rate in (0.1, 0.2):
                write_run(
                    tmp_path, loss, attention, changes={"optimizer.lr": rate}, name=f"{loss}{attention}{rate}", n=70
                )
    section = section_of(tmp_path)
    titles = [table.title for table in ablation_tables(section, "accuracy")]
    assert titles[:2] == [
        "loss by attention (learning rate=0.1): accuracy %",
        "loss by attention (learning rate=0.2): accuracy %",
    ]
    assert len({table.name for table in ablation_tables(section, "accuracy")}) == len(titles) == 6
    only = ablation_tables(section, "accuracy", ("loss", "learning rate"))
    assert {t.title.partition(" (")[0] for t in only} == {"loss by learning rate"}


def test_recalls_have_wilson_intervals(section: Section) -> None:
    table = class_table(section)
    method = section.methods[2]
    values = [run.result["per_class"]["fear"]["recall"] for run in method.runs]
    row = table.data[2]
    assert row["fear"] == pytest.approx(np.mean(values))
    assert (row["fear_low"], row["fear_high"]) == wilson(round(np.mean(values) * 60), 60)


def test_compactness_is_measured_by_run_and_subgroup(section: Section) -> None:
    space = measure_features(section, 50)
    table, groups = compactness_table(section, space), subgroup_table(section, space)
    assert table is not None
    assert groups is not None
    features = [run.features() for run in section.methods[0].runs]
    expected = np.mean([compactness(f.feature, f.label).ratio for f in features])
    assert table.data[0]["ratio"] == pytest.approx(expected)
    assert [c.title for c in groups.columns] == ["loss", "attention", "skin 0", "skin 1", "skin 2"]
    first = np.mean(
        [
            compactness(f.feature[mine], f.label[mine]).ratio
            for f in features
            if (mine := f.attributes["skin"] == 0) is not None
        ]
    )
    assert groups.data[0]["skin 0"] == pytest.approx(first)
    cloud = space.clouds["loss=ce, attention=none"]
    assert (len(cloud.label), cloud.seed) == (50, 0)


def test_optimism_gap_uses_runs_that_recorded_it(section: Section) -> None:
    """The made-up curve is 0.4, 0.5, 0.4 and the last epoch is selected."""
    table, problems = optimism_table(section)
    assert table is not None
    assert problems == []
    assert [(r["loss"], r["attention"]) for r in table.data] == [("ce", "none"), ("ce", "ds")]
    assert table.data[0]["gap"] == pytest.approx(0.1)


def test_cost_and_further_metrics(section: Section) -> None:
    assert texts(cost_table(section))[0][2:] == ["10.00", "1.500", "60", "900", "1,000"]
    titles = [c.title for c in further_table(section).columns]
    assert "NLL (nats)" in titles
    assert "KL to votes (nats)" not in titles, "no votes, no such figure"


@pytest.mark.parametrize(
    ("protocol", "methods"),
    [
        ("rafdb@holdout", 8),
        ("ferplus@majority", 9),
        ("affectnet7@native", 6),
        ("affectnet8@native", 7),
        ("facs@native", 0),
    ],
)
def test_published_results_appear_only_with_their_dataset(tmp_path: Path, protocol: str, methods: int) -> None:
    write_run(tmp_path, protocol=protocol)
    table = published_table(section_of(tmp_path))
    assert (0 if table is None else len(table.rows)) == methods
    if table is not None:
        dataset = protocol.partition("@")[0]
        mfer = {"rafdb": 92.08, "affectnet7": 67.06, "affectnet8": 63.15, "ferplus": 91.09}[dataset]
        assert f"{mfer:.2f}" in [row[2] for row in texts(table) if row[0] == "MFER"]
        assert "not comparable" in table.caption


def test_every_published_result_has_a_source() -> None:
    for entry in published()["figures"]:
        assert entry["source"]
        assert all(50 < value < 100 for value in entry["accuracy"].values())


def test_undefined_values_are_shown_as_dashes(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    found = section_of(tmp_path).methods[0].runs[0].result
    change(
        run, cost={"parameters": None, "gflops": "many"}, hardware={}, metrics={**found["metrics"], "cohen_kappa": None}
    )
    section = section_of(tmp_path)
    assert set(texts(cost_table(section))[0][1:]) == {"–"}
    assert "Cohen's kappa" not in [c.title for c in further_table(section).columns]


def test_stored_embedding_is_not_recomputed(tmp_path: Path) -> None:
    folder = write_run(tmp_path, n=70)
    with np.load(folder / "features_test.npz") as stored:
        index, feature, label = (stored[name] for name in ("index", "feature", "label"))
    for points, kept in ((60, True), (30, False)):  # 50 are asked for
        write_features(folder / "features_test.npz", index, feature, label, plane=plane_of(feature, label, points))
        section = section_of(tmp_path)
        (cloud,) = measure_features(section, 50).clouds.values()
        assert (cloud.plane is not None) == kept
        assert len(cloud.label) == 50
    write_features(
        folder / "features_test.npz", index, feature, label, plane=Plane(np.zeros((2, 2)), np.array([0, 70]))
    )
    (cloud,) = measure_features(section_of(tmp_path), 50).clouds.values()
    assert cloud.plane is None, "the stored plane belongs to other faces"
