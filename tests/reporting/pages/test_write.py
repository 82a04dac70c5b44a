"""Reports on any set of runs: complete, with missing parts listed, and safe for any names."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from reporting.fabricate import change, write_run

from mfer_lightning.errors import UserError
from mfer_lightning.reporting.pages import write
from mfer_lightning.reporting.pages.document import Document, Options
from mfer_lightning.reporting.pages.write import write_report

pytestmark = pytest.mark.usefixtures("blank_figures")

QUICK = Options(embedding="none")
OLD = '<meta name="generator" content="mfer_lightning 0.1">'


class Page(HTMLParser):
    """Facts about a page for the tests."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.addresses: list[str] = []
        self.alts: list[str] = []
        self.tags: Counter[str] = Counter()
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags[tag] += 1
        self.ids += [found["id"] or ""] if "id" in found else []
        self.addresses += [v for k, v in found.items() if k in ("src", "href", "xlink:href", "action") and v]
        self.alts += [found.get("aria-label") or ""] if found.get("role") == "img" else []
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def made(study: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Document]:
    """A report with its figures drawn: module-scoped fixtures are set up before ``blank_figures``."""
    output = tmp_path_factory.mktemp("made") / "report"
    return output, write_report([str(study)], output, Options(embedding="pca", embedding_points=40))


def test_report_is_in_one_folder(made: tuple[Path, Document]) -> None:
    output, document = made
    assert sorted(p.name for p in output.iterdir()) == ["figures", "report.html", "report.md", "report.tex", "tables"]
    names = {p.stem for p in (output / "tables" / "rafdb-holdout-test").glob("*.csv")}
    assert names == {
        "methods", "ablation-loss-attention", "optimism", "recall", "further", "compactness", "subgroups", "cost",
        "published",
    }  # fmt: skip
    assert [p.name for p in output.parent.iterdir()] == ["report"], "there are no other files"
    assert len((output / "tables" / "runs.csv").read_text().splitlines()) == 1 + len(document.runs) == 13


def test_page_is_self_contained_and_every_figure_has_a_caption(made: tuple[Path, Document]) -> None:
    text = (made[0] / "report.html").read_text()
    page = Page(text)
    assert page.open == []
    assert {a[0] for a in page.addresses} <= {"#", "d"}, "links within the page, and an empty icon"
    assert not re.findall(r"https?://(?!www\.w3\.org)", re.sub(r'xmlns(:xlink)?="[^"]+"', "", text))
    assert not re.search(r"@import|url\((?!#)", text)
    assert [i for i, n in Counter(page.ids).items() if n > 1] == []
    assert {a[1:] for a in page.addresses if a.startswith("#")} <= set(page.ids)
    pictures = [p for c in made[1].chapters for g in c.groups for p in g.pictures]
    assert page.alts == [p.alt for p in pictures]
    assert all(len(alt) > 20 for alt in page.alts)
    assert {g.title for c in made[1].chapters for g in c.groups} == {
        "Results with intervals", "Learning curves", "Recall of each class", "Confusion matrices", "Reliability",
        "Risk and coverage", "Features in the plane",
    }  # fmt: skip


def test_figures_use_the_page_colours(made: tuple[Path, Document]) -> None:
    for chapter in made[1].chapters:
        for picture in (p for g in chapter.groups for p in g.pictures):
            colours = set(re.findall(r"#[0-9a-f]{6}\b", picture.svg.lower()))
            assert colours <= {"#ffffff"}, picture.alt
            assert "var(--ink)" in picture.svg


def test_headings_sort_numerically(made: tuple[Path, Document]) -> None:
    text = (made[0] / "report.html").read_text()
    tables = Page(text).tags["table"]
    assert tables == sum(len(c.tables) for c in made[1].chapters)
    headings = sum(len(t.columns) for c in made[1].chapters for t in c.tables)
    assert text.count('aria-sort="none"') == headings == Page(text).tags["button"]


def test_markdown_is_valid_and_its_images_exist(made: tuple[Path, Document]) -> None:
    text = (made[0] / "report.md").read_text()
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)
    assert pictures
    assert all((made[0] / p).read_bytes().startswith(b"\x89PNG") for p in pictures)
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1


def test_published_results_are_in_a_separate_table(made: tuple[Path, Document]) -> None:
    for chapter in made[1].chapters:
        for table in chapter.tables:
            text = json.dumps([[cell.text for cell in row] for row in table.rows])
            assert ("POSTER++" in text) is (table.name == "published")


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with many problems at once."""
    folder = tmp_path_factory.mktemp("odd") / "runs"
    for seed in range(3):
        write_run(folder, seed=seed)
    write_run(folder, "dsf")  # one seed only
    write_run(folder, "ce", protocol="rafdb@paper", name="marked")  # a second protocol
    write_run(folder, "ce", seed=2, name="again")
    (write_run(folder, "lgm", name="no-predictions") / "predictions_test.csv").unlink()
    torn = write_run(folder, "lgm", seed=1, name="torn-predictions") / "predictions_test.csv"
    torn.write_text(torn.read_text()[:2000])
    stranger = write_run(folder, "lgm", seed=2, name="other-predictions", accuracy=0.1) / "predictions_test.csv"
    shutil.copy(folder / "rafdb-ce-none-s0" / "predictions_test.csv", stranger)
    change(write_run(folder, name="old"), schema_version=0)
    change(write_run(folder, name="new"), schema_version=7)
    change(write_run(folder, name="contradicts"), n=3)
    broken = write_run(folder, name="broken") / "result.json"
    broken.write_text(broken.read_text()[:500])
    (folder / "foreign").mkdir()
    (folder / "foreign" / "result.json").write_text('{"accuracy": 0.99}')
    (folder / "list").mkdir()
    (folder / "list" / "result.json").write_text("[1, 2]")
    (folder / "bytes").mkdir()
    (folder / "bytes" / "result.json").write_bytes(b"\xff\xfe\x00")
    (folder / "deep").mkdir()
    (folder / "deep" / "result.json").write_text("[" * 100_000)
    (write_run(folder, name="unfinished") / "result.json").unlink()
    (write_run(folder, name="curveless") / "metrics.csv").write_bytes(b"\xff\xfe")
    (write_run(folder, seed=5, name="featureless", accuracy=0.6) / "features_test.npz").write_bytes(b"PK not a zip")
    (folder / "jobs").mkdir()
    job = {
        "number": 9,
        "overrides": ["loss=nope", "seed=0"],
        "status": "failed",
        "run_dir": "",
        "error": "no such loss",
        "token": "",
    }
    (folder / "jobs" / "0009.json").write_text(json.dumps(job))
    (folder / "jobs" / "0010.json").write_text("{")
    return folder


def test_unusual_folders_are_reported_once_each(odd: Path, tmp_path: Path) -> None:
    document = write_report([str(odd)], tmp_path / "report", QUICK)
    expected = {
        "broken": "has a damaged result.json",
        "foreign, runs/list": "written by another program",
        "bytes": "damaged",
        "deep": "damaged",
        "old": "with an older schema (0; this version reads 1)",
        "new": "with another schema (7; this version reads 1)",
        "contradicts": "an inconsistent result",
        "unfinished": "is not finished",
        "no-predictions": "has no predictions_test.csv",
        "torn-predictions": "cannot be read",
        "other-predictions": "does not match its result",
    }
    told = [(f"{name} {reason}") for name, reason in document.left_out]
    for name, words in expected.items():
        for part in name.split(", "):
            hits = [line for line in told if re.search(rf"\b{re.escape(part.rpartition('/')[2])}\b", line)]
            assert len(hits) == 1, (part, hits)
            assert words in hits[0]
    assert any("loss=nope" in line and "no such loss" in line for line in told)
    assert any("again" in line and "repeats the configuration and seed" in line for line in told)
    titles = [(c.section.title, len(c.section.runs)) for c in document.chapters]
    assert titles == [("rafdb@holdout, test", 8), ("rafdb@paper, test", 1)]
    assert "rafdb@paper is optimistic: models are trained on all of train" in document.chapters[1].section.notes[0]
    assert any("Undecided" in finding for finding in document.chapters[0].findings)
    text = (tmp_path / "report" / "report.html").read_text()
    assert "What was left out" in text
    assert text.count("with an older schema") == 1
    assert re.search(r"<code>[^<]*foreign, [^<]*list</code>: each has a result\.json", text)


def test_swapped_class_names_and_single_annotators_are_noted(tmp_path: Path) -> None:
    run = write_run(tmp_path / "runs", accuracy=2.0)  # always right
    result = json.loads((run / "result.json").read_text())
    confusion = result["confusion"]
    confusion[0], confusion[1] = confusion[1], confusion[0]
    change(run, confusion=confusion, annotators={"single_annotator": 0.812, "fleiss_kappa": 0.6, "by_agreement": []})
    (run / "predictions_test.csv").unlink()
    document = write_report([str(tmp_path / "runs")], tmp_path / "report", QUICK)
    assert any("surprise and fear seem to be swapped" in note for note in document.chapters[0].section.notes)
    assert (
        "A single annotator agrees with the others on 81.2% of the faces."
        in (tmp_path / "report" / "report.html").read_text()
    )


def test_failed_job_is_reported_once_with_the_sweep_command(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    jobs = [("ce", "0", "done"), ("ce", "1", "done"), ("dsf", "0", "done"), ("dsf", "1", "failed")]
    (folder / "jobs").mkdir(parents=True)
    for number, (loss, seed, status) in enumerate(jobs):
        run = write_run(folder, loss, seed=int(seed), n=50)
        if status == "failed":
            (run / "result.json").unlink()
        record = {"overrides": [f"loss={loss}", f"seed={seed}", "+dataset.occlusion=0.1", "paths.runs=r"], "token": "t"}
        record |= {"status": status, "run_dir": str(run), "error": "out of memory" if status == "failed" else None}
        (folder / "jobs" / f"{number:04d}.json").write_text(json.dumps(record))
    document = write_report([str(folder)], tmp_path / "report", QUICK)
    (left,) = document.left_out
    assert left == ("job `loss=dsf seed=1 +dataset.occlusion=0.1 paths.runs=r`", "failed: out of memory")
    assert document.commands[0] == "mfer -m loss=ce,dsf seed=0,1 +dataset.occlusion=0.1 name=runs"


@pytest.mark.drawn  # figures contain names, too
def test_markup_in_names_is_escaped(tmp_path: Path) -> None:
    names = ("<script>alert(1)</script>", "$x_1^{", "a|b & 'c'", "激动 \\ %", '"q" #')
    write_run(tmp_path / "runs", "<b>&$", n=50, class_names=names, protocol="folder@holdout")
    write_run(tmp_path / "runs", "dsf", n=50, class_names=names, protocol="folder@holdout")
    write_report([str(tmp_path / "runs")], tmp_path / "report", QUICK)
    text = (tmp_path / "report" / "report.html").read_text()
    assert Page(text).tags["script"] == 1
    assert "<b>" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<script>" not in (tmp_path / "report" / "report.md").read_text()
    latex = (tmp_path / "report" / "report.tex").read_text()
    assert r"\$x\_1\textasciicircum{}\{" in latex


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A run with two classes, the minimum."""
    return str(write_run(tmp_path_factory.mktemp("small"), n=50, class_names=("a", "b"), protocol="folder@holdout"))


def test_report_overwrites_only_reports(small: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "report"
    output.mkdir()
    (output / "thesis.tex").write_text("mine")
    with pytest.raises(UserError, match="exists and is not a report"):
        write_report([small], output, QUICK)
    assert (output / "thesis.tex").read_text() == "mine"
    (output / "report.html").write_text(OLD)  # a report next to another file
    with pytest.raises(UserError, match="exists and is not a report"):
        write_report([small], output, QUICK)
    (output / "thesis.tex").unlink()
    (output / "report.html").write_text("<h1>of another program</h1>")
    with pytest.raises(UserError, match="exists and is not a report"):
        write_report([small], output, QUICK)
    (output / "report.html").write_text(OLD)

    def fail(_: object) -> str:
        raise RuntimeError("half way")

    with monkeypatch.context() as patch:
        patch.setattr(write, "render_html", fail)
        with pytest.raises(RuntimeError):
            write_report([small], output, QUICK)
    assert (output / "report.html").read_text() == OLD
    assert [p.name for p in tmp_path.iterdir()] == ["report"]
    write_report([small], output, QUICK)
    assert "Summary" in (output / "report.html").read_text()


@pytest.mark.slow
@pytest.mark.drawn
def test_equal_runs_give_identical_reports(small: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_report([small], tmp_path / name, QUICK)
    assert (tmp_path / "a" / "report.html").read_bytes() == (tmp_path / "b" / "report.html").read_bytes()


def test_names_that_differ_only_in_symbols_have_separate_images(tmp_path: Path) -> None:
    for gain in (0.5, -0.5):
        write_run(tmp_path / "runs", changes={"loss.gain": gain}, name=f"gain{gain}", features=False)
    write_report([str(tmp_path / "runs")], tmp_path / "report", QUICK)
    pictures = re.findall(r"\]\((figures/[^)]+)\)", (tmp_path / "report" / "report.md").read_text())
    assert sum("confusion" in name for name in pictures) == 2
    assert len(set(pictures)) == len(pictures)
