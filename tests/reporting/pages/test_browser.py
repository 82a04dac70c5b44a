"""The page in a real browser, and the document compiled with LaTeX: slow, and skipped if they are not installed."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from reporting.browser import probe, screenshot
from reporting.fabricate import write_run

from mfer_lightning.reporting.pages.document import Options
from mfer_lightning.reporting.pages.write import write_report
from mfer_lightning.reporting.study.contrast_plan import Contrast, Plan

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def report(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("browser") / "report"
    contrast = Contrast("DS attention & more", {"attention": "ds", "loss": "ce"}, {"attention": "none", "loss": "ce"})
    plan = Plan(Path("plan.yaml"), "ab" * 32, (replace(contrast, family="a_family"),))
    write_report([str(study)], output, Options(embedding="pca", embedding_points=100, plan=plan))
    return output


@pytest.mark.parametrize("width", [1280, 400])
def test_page_opens_offline_without_errors_and_is_readable(report: Path, width: int, tmp_path: Path) -> None:
    found = probe(report / "report.html", width, tmp_path)
    assert found["console"] == []
    assert found["loaded"] == []
    assert found["width"] == width
    assert found["overflow"] <= 0, "tables scroll within themselves, the page does not"
    assert found["outside"] == 0
    assert found["letters"] >= 9, "pixels of the smallest letter of any figure"


def test_browser_errors_would_be_detected(report: Path, tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text(
        (report / "report.html").read_text().replace("</main>", "<img src='https://example.org/x.png'></main>")
    )
    assert probe(page, 1280, tmp_path)["console"], "the page's own policy refuses to load anything"


def test_clicking_a_heading_sorts_its_table(report: Path, tmp_path: Path) -> None:
    found = probe(report / "report.html", 1280, tmp_path)
    numbers = {name: [float(text.split()[0]) for text in found[name]] for name in ("before", "down", "up")}
    assert numbers["down"] == sorted(numbers["before"], reverse=True) != numbers["before"]
    assert numbers["up"] == sorted(numbers["before"])
    assert (found["downSaid"], found["upSaid"], found["afterwards"]) == ("descending", "ascending", "none")
    assert found["words"] == sorted(found["words"])
    assert found["focused"], "a button, so the keyboard reaches it"
    assert found["status"].startswith("Sorted by loss")


def test_screenshot_is_not_empty(report: Path, tmp_path: Path) -> None:
    from matplotlib.image import imread

    screenshot(report / "report.html", 400, 1500, tmp_path / "narrow.png")
    picture = imread(tmp_path / "narrow.png")
    assert picture.shape[:2] == (1500, 500)
    assert 0.01 < (picture[:, :400, :3].min(axis=2) < 0.6).mean() < 0.5


def test_latex_document_compiles(report: Path, tmp_path: Path) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex on this machine")
    folder = tmp_path / "runs"
    odd = ("<a> & $b_1^{", "100% #~|", "激动 \\", '"q"', "été")
    for rate in range(45):  # a table that is longer than a page
        write_run(
            folder, "dsf", n=25, seed=rate % 2, class_names=odd, changes={"optimizer.lr": rate / 100}, name=f"r{rate}"
        )
    write_report([str(folder)], tmp_path / "odd", Options(embedding="none"))
    for source in (report / "report.tex", tmp_path / "odd" / "report.tex"):
        where = tmp_path / source.parent.name
        where.mkdir(exist_ok=True)
        done = subprocess.run(
            ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", f"-output-directory={where}", str(source)],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=120,
        )
        assert done.returncode == 0, done.stdout[-3000:]
        assert (where / "report.pdf").stat().st_size > 10_000
