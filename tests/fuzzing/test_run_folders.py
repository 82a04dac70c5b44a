"""``mfer report`` leaves out damaged run folders, rejects damaged archives and plans, and explains why."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blank import blank_drawings
from fuzzing.campaign import QUICK, SLOW, Kind, survives
from fuzzing.mutations import Draw, edited_bytes, edited_text, edited_value, edited_zip
from fuzzing.outcome import command_line
from fuzzing.planted import FAULTS, found
from hypothesis import strategies as st
from reporting.fabricate import change, write_run

from mfer_lightning.evaluation.keep_study import keep_study
from mfer_lightning.files import digests
from mfer_lightning.reporting.pages import document
from mfer_lightning.reporting.pages.panel_groups import Picture, SectionPanels
from mfer_lightning.reporting.run import report

PLAN = """\
metric: accuracy
protocol: rafdb@holdout
family: losses
contrasts:
  - name: the loss
    method: {loss: dsf}
    against: {loss: ce}
"""
Numbers = dict[str, tuple[str, str]]


def write_study(folder: Path) -> Path:
    """Write four runs with digests of their predictions, and a plan."""
    for loss in ("ce", "dsf"):
        for seed in range(2):
            run = write_run(folder / "runs", loss, "none", seed, n=42, track_test=loss == "ce")
            change(run, files=digests(run, ["predictions_test.csv"]))
    (folder / "plan.yaml").write_text(PLAN)
    return folder


class Study:
    """Damage a study; remember which run was damaged, and whether a digest reveals it."""

    def __init__(self) -> None:
        self.run, self.tells = "", False

    def runs(self, draw: Draw, folder: Path) -> None:
        runs = sorted((folder / "runs").iterdir())
        run = runs[draw(st.integers(0, len(runs) - 1))]
        files = sorted(f for f in run.iterdir() if f.is_file())
        path = files[draw(st.integers(0, len(files) - 1))]
        whole, content = path.read_bytes(), path.read_bytes()
        how = draw(st.sampled_from(("bytes", "form", "form", "missing")))
        if how == "missing":
            path.unlink()
        elif how == "bytes" or path.suffix == ".yaml":
            path.write_bytes(edited_bytes(draw, content))
        elif path.suffix == ".json":
            path.write_text(json.dumps(edited_value(draw, json.loads(content))))
        elif path.suffix == ".npz":
            path.write_bytes(edited_zip(draw, content))
        else:
            path.write_bytes(edited_text(draw, content.decode()))
        changed = not path.exists() or path.read_bytes() != whole
        self.run, self.tells = run.name, changed and path.name.startswith("predictions")

    def archive(self, draw: Draw, folder: Path) -> None:
        path = folder / "runs.npz"
        content = path.read_bytes()
        what = draw(st.sampled_from(("bytes", "zip", "index", "column")))
        self.run, self.tells = "", what == "bytes"
        if what == "bytes":
            path.write_bytes(edited_bytes(draw, content, [range(max(0, len(content) - 1_500), len(content))]))
        elif what == "zip":
            path.write_bytes(edited_zip(draw, content))
        else:
            path.write_bytes(_with_member(draw, content, what))

    def plan(self, draw: Draw, folder: Path) -> None:
        path = folder / "plan.yaml"
        self.run, self.tells = "", True
        if draw(st.booleans()):
            path.write_bytes(edited_text(draw, PLAN, " "))
        else:
            import yaml

            edited = edited_value(draw, yaml.safe_load(PLAN))
            path.write_text(yaml.safe_dump(edited, allow_unicode=True), encoding="utf-8", errors="surrogateescape")


def _with_member(draw: Draw, content: bytes, what: str) -> bytes:
    """Change the index of an archive or a column of its faces, with matching checksums."""
    import zipfile

    with zipfile.ZipFile(io.BytesIO(content)) as old:
        members = {name: old.read(name) for name in old.namelist()}
    if what == "index":
        members["index.json"] = json.dumps(edited_value(draw, json.loads(members["index.json"]))).encode()
    else:
        names = sorted(name for name in members if name.endswith(".npy"))
        name = names[draw(st.integers(0, len(names) - 1))]
        values = np.load(io.BytesIO(members[name]))
        odd = (
            values[:0],
            values[:-1],
            values.astype("U"),
            values.T[None],
            np.array(1.0),
            np.full(values.shape, np.nan),
        )
        buffer = io.BytesIO()
        np.save(buffer, odd[draw(st.integers(0, len(odd) - 1))])
        members[name] = buffer.getvalue()
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as new:
        for name, data in members.items():
            new.writestr(name, data)
    return target.getvalue()


def numbers_of(folder: Path) -> Numbers:
    """Return run -> its two accuracies in the table of the report."""
    with (folder / "report" / "tables" / "runs.csv").open(encoding="utf-8", newline="") as file:
        return {row["folder"]: (row["accuracy"], row["mean_class_accuracy"]) for row in csv.DictReader(file)}


def by_command(folder: Path, *words: str) -> Numbers:
    """Write a report on the command line, with blank figures."""
    with blank_drawings():
        command_line("report", *words, f"output={folder.parent / 'out' / 'report'}", "embedding=none")
    return numbers_of(folder.parent / "out")


def in_python(folder: Path, *words: str) -> Numbers:
    """Write a report without figures, which take most of the time."""
    plan = next((word.partition("=")[2] for word in words if word.startswith("contrasts=")), None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SectionPanels, "picture", lambda *_, **__: Picture("x.png", "<svg></svg>", "x"))
        report([words[0]], folder.parent / "out" / "report", embedding="none", contrasts=plan)
    return numbers_of(folder.parent / "out")


Reader = Callable[..., Numbers]


def kind_of(what: str, folder: Path, read: Reader) -> Kind:
    """Runs, an archive or a plan as a kind of input."""
    study, damages = write_study(folder / "study"), Study()
    source = study
    if what == "archive":
        keep_study([str(study / "runs")], folder / "kept")
        source = folder / "kept"

    def words(root: Path) -> list[str]:
        place = root if what == "archive" else root / "runs"
        return [str(place), *([f"contrasts={root / 'plan.yaml'}"] if what == "plan" else [])]

    (folder / "first").mkdir()
    whole = read(folder / "first" / "x", *words(source))

    def check(said: Numbers) -> str:
        damaged = said.pop(damages.run, None)
        if damages.tells and damaged not in (None, whole.get(damages.run)):
            return f"{damages.run} was reported with numbers that are not its own"
        if what != "archive" or damages.tells:
            wrong = {run: numbers for run, numbers in said.items() if numbers != whole.get(run)}
            return f"changed numbers of undamaged runs: {wrong}" if wrong else ""
        return ""

    damage = {"runs": damages.runs, "archive": damages.archive, "plan": damages.plan}[what]
    planted = f"{document.__name__}:{'find_results' if read is in_python else 'build_document'}"
    return Kind(source, damage, lambda root: read(root, *words(root)), check, planted, _other, refuses=what != "runs")


def _other(found: Any) -> Any:
    """Return changed results."""
    for stored in found.results:
        stored.result["metrics"]["accuracy"] = 0.123
    return found


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("whole", "damaged"):
        (tmp_path / name).mkdir()
    return tmp_path / "whole", tmp_path / "damaged"


@pytest.mark.parametrize("what", ["runs", "archive", "plan"])
def test_damaged_input_is_skipped_or_rejected(what: str, places: tuple[Path, Path]) -> None:
    survives(kind_of(what, places[0], in_python), places[1], QUICK)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["runs", "archive", "plan"])
def test_command_skips_or_rejects_damaged_input(what: str, places: tuple[Path, Path]) -> None:
    survives(kind_of(what, places[0], by_command), places[1], SLOW)


@pytest.mark.parametrize("fault", FAULTS)
def test_harness_detects_a_planted_fault(
    fault: str, places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert found(kind_of("runs", places[0], in_python), fault, places[1], monkeypatch)
