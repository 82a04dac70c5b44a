"""A matrix of models and datasets in a report: alone, among runs, or damaged."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
from reporting.fabricate import write_run
from reporting.pages.test_write import Page

from mfer_lightning.analysis.matrix import Cell, Matrix
from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.runs import LeftOut
from mfer_lightning.reporting.pages.document import Options
from mfer_lightning.reporting.pages.write import write_report
from mfer_lightning.reporting.run import report
from mfer_lightning.reporting.study.matrices import read_matrices

pytestmark = pytest.mark.usefixtures("blank_figures")

HOME = Cell("a", "facs", "facs@native", "facs@native", 200, 8, (), 0.8, 0.74, 0.85, 0.79, at_home=True)
AWAY = replace(HOME, dataset="rafdb", classes=7, left_out=("contempt",), accuracy=0.4, low=0.3, high=0.5, at_home=False)
FAILED = Cell("b", "facs", error="The <classes> differ.")
MATRIX = Matrix(("a", "b"), ("facs", "rafdb"), "test", (HOME, AWAY, FAILED, replace(FAILED, dataset="rafdb")))


def test_single_matrix_gives_a_page_with_heat_map_and_table(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    MATRIX.write(tmp_path / "matrix-1")
    made = report(tmp_path / "matrix-1", tmp_path / "report")
    assert "a: facs 80.0% (trained there), rafdb 40.0% over 7 classes." in capsys.readouterr().out
    page = Page(made.page.read_text(encoding="utf-8"))
    assert page.open == []
    assert len(set(page.ids)) == len(page.ids)
    assert {"matrix", "matrix-matrix"} <= set(page.ids)
    assert "#matrix" in page.links + page.addresses
    assert page.alts == ["Heat map of the accuracy of a, b on facs, rafdb"]
    text = made.page.read_text(encoding="utf-8")
    for words in ("74.0 to 85.0", "without contempt: not comparable", "not measured: The &lt;classes&gt; differ."):
        assert words in text
    assert str(tmp_path) not in text
    with (made.folder / "tables" / "matrix" / "matrix.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["model"], row["dataset"], row["accuracy"]) for row in rows[:3]] == [
        ("a", "facs", "0.8"),
        ("a", "rafdb", "0.4"),
        ("b", "facs", ""),
    ]
    markdown = (made.folder / "report.md").read_text(encoding="utf-8")
    assert "## Models across datasets" in markdown
    assert "![Heat map of the accuracy of a, b on facs, rafdb](figures/matrix/heat-map.png)" in markdown
    assert (made.folder / "figures" / "matrix" / "heat-map.png").is_file()
    assert r"\subsection*{Models across datasets}" in (made.folder / "report.tex").read_text(encoding="utf-8")


@pytest.mark.parametrize(("columns", "told"), [(4, True), (5, False)])
def test_caption_mentions_intervals_only_if_the_heat_map_has_room_for_them(
    columns: int, told: bool, tmp_path: Path
) -> None:
    datasets = ("facs", *(f"other{k}" for k in range(1, columns)))
    cells = (HOME, *(replace(AWAY, dataset=name) for name in datasets[1:]))
    Matrix(("a",), datasets, "test", cells).write(tmp_path / "matrix-1")
    text = report(tmp_path / "matrix-1", tmp_path / "report").page.read_text(encoding="utf-8")
    assert ("Below each value: 95% interval" in text) == told


def test_matrices_follow_the_sections_of_the_runs(tmp_path: Path) -> None:
    write_run(tmp_path / "runs", n=60, features=False)
    MATRIX.write(tmp_path / "runs" / "matrix-1")
    replace(MATRIX, split="val").write(tmp_path / "runs" / "matrix-2")
    document = write_report([str(tmp_path / "runs")], tmp_path / "report", Options(embedding="none"))
    assert [section.title for section in document.matrices] == [
        "Models across datasets (matrix-1)",
        "Models across datasets (matrix-2)",
    ]
    assert len(document.chapters) == 1
    page = Page((tmp_path / "report" / "report.html").read_text(encoding="utf-8"))
    assert page.ids.index("matrix") < page.ids.index("matrix-2") < page.ids.index("left-out")


@pytest.mark.parametrize(
    "damage",
    [
        lambda told: told["cells"].pop(),
        lambda told: told["cells"][0].update(accuracy=80),
        lambda told: told["cells"][0].update(accuracy="0.8"),
        lambda told: told.update(models=["a"]),
        lambda told: told.pop("notes"),
    ],
)
def test_foreign_matrices_are_ignored(tmp_path: Path, damage) -> None:
    told = json.loads(json.dumps(MATRIX.to_dict()))
    (file := tmp_path / "matrix.json").write_text(json.dumps(told))
    assert [matrix.models for matrix in read_matrices([tmp_path])[0]] == [("a", "b")]
    damage(told)
    file.write_text(json.dumps(told))
    assert read_matrices([tmp_path]) == (
        [],
        [LeftOut(tmp_path, "has a matrix.json that is damaged or written by another program")],
    )


def test_unreadable_matrix_is_named_on_the_page(tmp_path: Path) -> None:
    write_run(tmp_path / "runs", n=60, features=False)
    (tmp_path / "runs" / "matrix.json").write_text("{}")
    document = write_report([str(tmp_path / "runs")], tmp_path / "report", Options(embedding="none"))
    assert document.matrices == []
    assert any(reason.startswith("has a matrix.json that is damaged") for _, reason in document.left_out)


def test_empty_folder_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no finished run to report on"):
        write_report([str(tmp_path)], tmp_path / "report", Options())
