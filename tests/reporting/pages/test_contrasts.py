"""Planned contrasts in a report: first and separate from all others, in every format, with the name of their file."""

from __future__ import annotations

import csv
import hashlib
import re
from dataclasses import replace
from pathlib import Path

import pytest

from mfer_lightning.evaluation.runs import find_results
from mfer_lightning.reporting.pages.document import Document, Options
from mfer_lightning.reporting.pages.panel_groups import SectionPanels
from mfer_lightning.reporting.pages.result_panels import contrast_panels
from mfer_lightning.reporting.pages.write import write_report
from mfer_lightning.reporting.study.contrast_plan import read_plan
from mfer_lightning.reporting.study.contrasts import judge, place_contrasts
from mfer_lightning.reporting.study.runs import open_runs
from mfer_lightning.reporting.study.sections import make_sections

pytestmark = pytest.mark.usefixtures("blank_figures")

PLAN = """
family: made_up
contrasts:
  - name: DS & <b> attention
    method: {attention: ds, loss: dsf}
    against: {attention: none, loss: dsf}
    claim: better
  - name: DSF_loss
    method: {attention: ds, loss: dsf, head: linear}
    against: {attention: ds, loss: ce}
    claim: better
chains:
  - {name: both, contrasts: [DS & <b> attention, DSF_loss]}
"""


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plan") / "plan.yaml"
    path.write_text(PLAN)
    return path


@pytest.fixture(scope="module")
def made(study: Path, plan: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Document]:
    """A report with its figures drawn: module-scoped fixtures are set up before ``blank_figures``."""
    output = tmp_path_factory.mktemp("contrasts") / "report"
    return output, write_report([str(study)], output, Options(embedding="none", plan=read_plan(plan)))


def test_planned_contrasts_come_first_and_others_are_marked_unplanned(made: tuple[Path, Document]) -> None:
    (chapter,) = made[1].chapters
    assert [part.title for part in chapter.parts[:2]] == ["Planned contrasts", "Methods"]
    heads = [re.split("[:,]", finding)[0] for finding in chapter.findings]
    assert heads[:4] == ["Planned contrasts", "Planned", "Planned", "Planned chain"]
    assert heads[4] == "The following comparisons were not planned. Methods against the baseline"
    assert heads[5] == "Better than the baseline"
    tables = {table.name: table for table in chapter.tables}
    assert tables["methods"].caption.endswith("These comparisons were not planned.")
    assert chapter.parts[0].words == chapter.findings[0]


def test_findings_appear_in_every_format(made: tuple[Path, Document]) -> None:
    page, markdown, latex = ((made[0] / f"report.{kind}").read_text() for kind in ("html", "md", "tex"))
    assert "Planned, DS &amp; &lt;b&gt; attention:</strong> confirmed." in page
    parts = ("in-short", "rafdb-holdout-test-part-planned-contrasts", "rafdb-holdout-test-part-methods")
    places = [page.index(f'<section id="{part}"') for part in parts]
    assert places == sorted(places)
    assert page.count("1 confirmed (DS &amp; &lt;b&gt; attention), 1 undecided (DSF_loss)") == 2, (
        "in short, and above the table"
    )
    assert "Planned, DS &amp; &lt;b&gt; attention: confirmed." in markdown
    assert markdown.count("methods are planned in plan.yaml, family made\\_up. The metric is accuracy") == 2
    assert r"Planned, DS \& \textless{}b\textgreater{} attention: confirmed." in latex
    assert r"Planned contrasts, by accuracy" in latex
    assert "The following comparisons were not planned." in latex


def test_numbers_are_in_a_separate_table(made: tuple[Path, Document]) -> None:
    with (made[0] / "tables" / "rafdb-holdout-test" / "contrasts.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["contrast"], row["verdict"], row["outcome"]) for row in rows] == [
        ("DS & <b> attention", "better", "confirmed"),
        ("DSF_loss", "tie", "undecided"),
    ]
    assert float(rows[0]["low"]) > 0
    assert float(rows[1]["smallest_detectable"]) > 0
    assert (made[0] / "tables" / "rafdb-holdout-test" / "chains.csv").is_file()


def test_figure_names_the_verdicts_in_words(made: tuple[Path, Document]) -> None:
    (group,) = [item for item in made[1].chapters[0].parts[0].items if hasattr(item, "pictures")]
    (picture,) = group.pictures
    for text in (picture.svg, picture.alt):
        assert "better, claim confirmed" in text
        assert "tie, claim undecided; " in text
        assert "detectable" in text
    assert not set(re.findall(r"#[0-9a-f]{6}\b", picture.svg.lower())), "colours must come from the page"
    assert (made[0] / picture.file).read_bytes().startswith(b"\x89PNG")


def test_figure_names_the_correction_family(study: Path, plan: Path, tmp_path: Path) -> None:
    (section,) = make_sections(open_runs(find_results([study]).results)[0])[0]
    judged = judge(section, place_contrasts(read_plan(plan), [section])[0], "accuracy")
    split = [replace(p, contrast=replace(p.contrast, family=p.contrast.name)) for p in judged]
    for found, words in ((judged, "over these contrasts only"), (split, "over the contrasts of its family only")):
        group = contrast_panels(SectionPanels(section, tmp_path), found, "accuracy")
        assert f"Holm-corrected {words})" in group.caption


def test_report_identifies_the_registered_plan(made: tuple[Path, Document], plan: Path) -> None:
    digest = hashlib.sha256(plan.read_bytes()).hexdigest()
    facts = dict(made[1].facts)
    assert facts["planned contrasts"].endswith(f"plan.yaml, sha256 {digest}, family made_up")
    for kind in ("html", "md"):
        assert digest in (made[0] / f"report.{kind}").read_text()
    assert "contrasts=" in made[1].commands[-1]


@pytest.mark.slow
@pytest.mark.drawn
def test_equal_runs_and_plans_give_identical_reports(
    made: tuple[Path, Document], study: Path, plan: Path, tmp_path: Path
) -> None:
    write_report([str(study)], tmp_path / "report", Options(embedding="none", plan=read_plan(plan)))
    for name in ("report.html", "report.tex", "tables/rafdb-holdout-test/contrasts.csv"):
        assert (tmp_path / "report" / name).read_bytes() == (made[0] / name).read_bytes()


@pytest.mark.slow
def test_metric_of_the_plan_overrides_the_metric_of_the_report(
    made: tuple[Path, Document], study: Path, tmp_path: Path
) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(PLAN + "metric: mean_class_accuracy\n")
    own = write_report([str(study)], tmp_path / "report", Options(embedding="none", plan=read_plan(path)))
    for document, expected in ((own, "mean_class_accuracy"), (made[1], "accuracy")):
        (table,) = [t for t in document.chapters[0].tables if t.name == "contrasts"]
        assert {row["metric"] for row in table.data} == {expected}
        assert ("which the file does not specify" in document.chapters[0].findings[0]) is (document is made[1])


def test_without_a_plan_nothing_is_called_planned(study: Path, tmp_path: Path) -> None:
    write_report([str(study)], tmp_path / "report", Options(embedding="none"))
    assert "lanned" not in (tmp_path / "report" / "report.md").read_text()
