"""With synthetic faces, the truth is known: label noise, occlusion and ambiguity worsen the results in a report."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path

import pytest
from commands.conftest import Mfer

pytestmark = pytest.mark.slow

#: Reaches 85% on easy faces in seconds.
TINY = (
    "loss=ce", "attention=none", "head=linear", "ema=none", "report=true", "name=s",
    "backbone.stem=default", "backbone.drop_path_rate=0.0", "backbone.options={depths:[1,1,1,1],dims:[12,24,36,48]}",
    "preprocess.size=32", "dataset.size=32", "dataset.difficulty=0.1", "dataset.train_size=1200",
    "dataset.val_size=200", "dataset.test_size=600", "loader.batch_size=32", "loader.num_workers=0",
    "trainer.accelerator=cpu",
    "trainer.max_epochs=6", "optimizer.lr=2e-3", "evaluation.embedding_points=0",
)  # fmt: skip


def table(folder: Path, name: str) -> list[dict[str, str]]:
    (file,) = folder.rglob(f"{name}.csv")
    with file.open(newline="", encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


def column(rows: list[dict[str, str]], name: str) -> list[float]:
    return [float(row[name]) for row in rows]


def falls(values: list[float]) -> bool:
    return all(a > b for a, b in itertools.pairwise(values))


def test_more_label_noise_lowers_every_metric(mfer: Mfer, tmp_path: Path) -> None:
    """The same test faces: one section, in which every metric gets worse with every step."""
    assert mfer("-m", *TINY, "dataset.label_noise=0.0,0.2,0.4", "seed=0,1,2") == 0
    report = tmp_path / "runs" / "s" / "report"
    methods = table(report, "methods")
    assert [(row["label noise"], row["seeds"]) for row in methods] == [("0", "3"), ("0.2", "3"), ("0.4", "3")]
    assert falls(column(methods, "accuracy"))
    assert falls(column(methods, "mean_class_accuracy"))
    assert [row["baseline_verdict"] for row in methods] == ["baseline", "worse", "worse"]
    assert falls(column(methods[1:], "baseline_difference"))
    assert falls(column(table(report, "further"), "nll")[::-1])
    assert falls(column(table(report, "compactness"), "ratio")[::-1]), "wrong labels blur the classes in feature space"
    assert column(table(report, "methods"), "accuracy")[0] > 0.7, "the model has learned to classify the faces"
    assert "Worse than the baseline: label noise=0.2" in (report / "report.md").read_text()


@pytest.mark.parametrize(("knob", "values"), [("occlusion", (0.0, 0.7)), ("ambiguity", (0.0, 0.8))])
def test_harder_faces_lower_every_metric(mfer: Mfer, tmp_path: Path, knob: str, values: tuple[float, float]) -> None:
    """Other test faces: separate sections without comparisons, and lower metrics on harder faces."""
    assert mfer("-m", *TINY, f"dataset.{knob}={values[0]},{values[1]}", "seed=0") == 0
    report = tmp_path / "runs" / "s" / "report"
    titles = [f"facs@native, test ({knob} {value:g})" for value in values]
    rows = {row["section"]: row for row in table(report, "runs")}
    assert sorted(rows) == sorted(titles)
    easy, hard = (rows[title] for title in titles)
    for name in ("accuracy", "mean_class_accuracy", "top2_accuracy", "cohen_kappa"):
        assert float(easy[name]) > float(hard[name]), name
    assert float(easy["nll"]) < float(hard["nll"])
    lower = [float(easy[name]) >= float(hard[name]) for name in easy if name.startswith("recall_")]
    assert sum(lower) > len(lower) / 2, "most classes are recognised less often"
    page = (report / "report.html").read_text()
    assert page.count("There is no other method to compare it with.") == 2
    assert f"dataset.{knob}={values[0]},{values[1]}" in page, "the command that reproduces the report"
