"""The study of noisy labels: its commands compose, and its contrasts match their methods."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from commands.test_studies import ROOT, started
from config.test_compose import composed
from reporting.fabricate import write_run

from mfer_lightning.config.location import choices
from mfer_lightning.evaluation.runs import find_results
from mfer_lightning.reporting.study.contrast_plan import read_plan
from mfer_lightning.reporting.study.contrast_tables import contrast_table
from mfer_lightning.reporting.study.contrasts import judge, place_contrasts
from mfer_lightning.reporting.study.runs import open_runs
from mfer_lightning.reporting.study.sections import Section, make_sections
from mfer_lightning.training.checks.trial_build import build_on_trial

STUDY = "ferplus_noise"
METHODS = [name for name in choices("experiment") if name.startswith(f"{STUDY}/")]
REGISTERED = (ROOT / "docs" / "experiments" / f"{STUDY}.md").read_text(encoding="utf-8")


@cache
def method(name: str) -> dict:
    return composed(f"experiment={STUDY}/{name}", "dataset.label_noise=0.2")


def test_script_starts_every_method_at_every_noise_level_seed_by_seed(tmp_path: Path) -> None:
    (words,) = started(f"{STUDY}/run.sh", tmp_path, "paths.data=/data sets")
    (experiments,) = [word.partition("=")[2] for word in words if word.startswith("experiment=")]
    assert sorted(experiments.split(",")) == METHODS
    assert len(METHODS) == 7
    assert words.index("seed=0,1,2,3,4") < words.index("dataset.label_noise=0.0,0.2,0.3")
    assert words[-1] == "paths.data=/data sets"


def test_tuning_has_three_runs_per_method_and_three_relabelling_epochs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNE", "1")
    rates, relabelling = started(f"{STUDY}/run.sh", tmp_path)
    assert "optimizer.lr=8e-3,16e-3,32e-3" in rates
    assert "method.relabel_epoch=2,7,11" in relabelling
    assert all({"seed=1000", "dataset.label_noise=0.2"} <= set(words) for words in (rates, relabelling))


@pytest.mark.parametrize("name", ["scn", "rul", "eac", "ds", "multiscale", "dsf"])
def test_method_builds_and_differs_from_the_baseline_in_one_option(name: str) -> None:
    config, plain = method(name), method("baseline")
    build_on_trial(config | {"trainer": {**config["trainer"], "accelerator": "cpu"}})
    (changed,) = {key for key, value in config.items() if value != plain[key] and key != "choices"}
    assert changed in ("method", "attention", "head", "loss")


def test_late_starting_methods_are_scaled_to_the_budget() -> None:
    epochs = method("scn")["trainer"]["max_epochs"]
    scaled = round(10 / 70 * epochs)
    assert f"epoch {scaled} of {epochs}" in REGISTERED
    assert f"`method.relabel_epoch` {scaled}, 7 and 11" in REGISTERED
    assert method("scn")["method"]["relabel_epoch"] == 11, "the winner of the tuning"


def test_contrasts_match_one_method_each_and_form_the_registered_families(tmp_path: Path) -> None:
    names = [name.partition("/")[2] for name in METHODS]
    for name in names:
        for noise in (0.0, 0.2, 0.3):
            config = method(name)
            changes = {f"{node}.name": config[node]["name"] for node in ("method", "head")}
            write_run(
                tmp_path, config["loss"]["name"], config["attention"]["name"], n=40, protocol="ferplus@dev",
                features=False, name=f"{name}-{noise}", changes={**changes, "dataset.label_noise": noise},
            )  # fmt: skip
    plan = read_plan(ROOT / "studies" / STUDY / "contrasts.yaml")
    (section,), _ = make_sections(open_runs(find_results([tmp_path]).results)[0])
    (placed,) = place_contrasts(plan, [section])
    found = [tuple(m.runs[0].folder.name for m in (p.method, p.against)) for p in placed]
    others = ["scn", "rul", "eac", "ds", "multiscale", "dsf"]
    wanted = [(f"{m}-{n}", f"baseline-{n}") for group in (others[:3], others[3:]) for n in (0.2, 0.3) for m in group]
    assert found == wanted + [(f"{m}-0.0", "baseline-0.0") for m in others]
    assert plan.families == {"methods": 6, "parts": 6, "clean": 6}
    assert {c.claim for c in plan.contrasts if c.family == "clean"} == {None}
    assert {c.claim for c in plan.contrasts if c.family != "clean"} == {"better"}


def test_contrasts_of_part_one_compare_each_method_with_the_baseline(tmp_path: Path) -> None:
    for name in ("baseline", "scn", "rul", "eac"):
        changes = {"method.name": name, "head.name": "linear", "dataset.label_noise": 0.3}
        for seed in (0, 1):
            write_run(
                tmp_path, "ce", "none", seed=seed, n=40, protocol="ferplus@dev", features=False, name=f"{name}-{seed}",
                changes=changes,
            )  # fmt: skip
    plan = read_plan(ROOT / "studies" / STUDY / "contrasts_part1.yaml")
    (section,), _ = make_sections(open_runs(find_results([tmp_path]).results)[0])
    (placed,) = place_contrasts(plan, [section])
    found = [tuple(m.runs[0].folder.name for m in (p.method, p.against)) for p in placed]
    assert found == [(f"{method}-0", "baseline-0") for method in ("scn", "rul", "eac")]
    assert plan.families == {"methods": 3}


def test_page_states_that_the_complete_study_was_not_run() -> None:
    assert "None of the complete study has been run" in REGISTERED
    assert not list((ROOT / "studies" / STUDY).glob("*.npz")), "the page must say what was found"


def cells(text: str, name: str) -> list[list[str]]:
    """The cells after the first one of every table row that begins with a method's name."""
    return [row.split(" | ") for row in re.findall(rf"^\| `{name}`(?: - `baseline`)? \| (.*) \|$", text, re.MULTILINE)]


@pytest.fixture(scope="module")
def part1() -> Section:
    """The archived runs of part one."""
    (section,), _ = make_sections(open_runs(find_results([ROOT / "studies" / STUDY / "part1"]).results)[0])
    return section


def test_stored_predictions_give_the_verdicts_on_the_pages(part1: Section) -> None:
    plan = read_plan(ROOT / "studies" / STUDY / "contrasts_part1.yaml")
    (placed,) = place_contrasts(plan, [part1])
    table = contrast_table(plan, part1, judge(part1, placed, "accuracy"), "accuracy")
    overview = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    points = []
    for row, name in zip(table.rows, ("scn", "rul", "eac"), strict=True):
        difference = f"{row[-5].text} ({row[-5].below})"
        p_value, detectable, _, claim = (cell.text for cell in row[-4:])
        assert [difference, p_value, detectable, claim] in cells(REGISTERED, name)
        (copied,) = [found for found in cells(overview, name) if len(found) == 4]
        assert copied[1:] == [difference, p_value, claim]
        points.append(f"{-row[-5].sort:.1f}")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"SCN, RUL and EAC were {points[0]}, {points[1]} and {points[2]} points *less* accurate" in readme


def test_stored_predictions_give_the_means_on_the_page(part1: Section) -> None:
    assert len(part1.methods) == 4
    for method_ in part1.methods:
        results = [run.result["metrics"] for run in method_.runs]
        assert len(results) == 5
        name = method_.runs[0].config["method"]["name"]
        row = [
            f"{100 * np.mean(values):.2f} ± {100 * np.std(values, ddof=1):.2f}"
            for values in ([r[key] for r in results] for key in ("accuracy", "mean_class_accuracy"))
        ]
        nll, ece, kl = (np.mean([r[key] for r in results]) for key in ("nll", "ece", "kl_to_votes"))
        assert [*row, f"{nll:.3f}", f"{100 * ece:.2f}", f"{kl:.3f}"] in cells(REGISTERED, name)
