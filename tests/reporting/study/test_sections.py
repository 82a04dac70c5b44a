"""Runs become methods and sections: grouped over seeds, separate by protocol, with a sensible baseline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from reporting.fabricate import change, write_run

from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.runs import LeftOut, find_results
from mfer_lightning.reporting.study.provenance import MOST_NAMES, said_once
from mfer_lightning.reporting.study.runs import open_runs
from mfer_lightning.reporting.study.sections import Section, make_sections


def sections_of(folder: Path, baseline: str | None = None) -> list[Section]:
    return make_sections(open_runs(find_results([folder]).results)[0], baseline)[0]


def test_runs_that_differ_only_in_seed_are_one_method(study: Path) -> None:
    (section,) = sections_of(study)
    assert [axis.title for axis in section.axes] == ["loss", "attention"]
    assert {m.values: m.seeds for m in section.methods} == {
        ("ce", "none"): 3, ("ce", "ds"): 3, ("dsf", "none"): 3, ("dsf", "ds"): 3
    }  # fmt: skip


def test_simplest_method_is_the_default_baseline(study: Path) -> None:
    assert sections_of(study)[0].baseline.label == "loss=ce, attention=none"
    (section,) = sections_of(study, "attention=ds")
    assert (section.baseline.label, section.baseline_chosen) == ("loss=ce, attention=ds", True)
    assert sections_of(study, "loss.name=dsf, attention=ds")[0].baseline.values == ("dsf", "ds")


@pytest.mark.parametrize(
    ("baseline", "words"),
    [("loss=lgm", "loss=ce|dsf"), ("backbone=x", "attention=none|ds"), ("ce", "Write baseline=loss=ce")],
)
def test_unknown_baseline_lists_the_available_ones(study: Path, baseline: str, words: str) -> None:
    with pytest.raises(UserError, match="baseline=") as error:
        sections_of(study, baseline)
    assert words in str(error.value)


@pytest.mark.parametrize(
    "other",
    [
        {"protocol": "rafdb@paper"},
        {"split": "val"},
        {"n": 140},
        {"class_names": ("a", "b", "c")},
        {"protocol": "ferplus@majority"},
    ],
)
def test_each_test_set_has_its_own_section(tmp_path: Path, other: dict) -> None:
    write_run(tmp_path)
    write_run(tmp_path, name="other", **other)
    first, second = sections_of(tmp_path)
    assert first.title != second.title
    assert first.slug != second.slug
    assert len(first.runs) == len(second.runs) == 1


def test_synthetic_faces_with_other_options_are_another_test_set(tmp_path: Path) -> None:
    for occlusion in (0.0, 0.6):
        write_run(tmp_path, protocol="facs@native", changes={"dataset.occlusion": occlusion}, name=f"o{occlusion}")
    write_run(
        tmp_path, protocol="facs@native", changes={"dataset.occlusion": 0.0, "dataset.label_noise": 0.4}, name="noisy"
    )
    sections = sections_of(tmp_path)
    assert [(s.title, len(s.methods)) for s in sections] == [
        ("facs@native, test (occlusion 0)", 2),
        ("facs@native, test (occlusion 0.6)", 1),
    ]


def evaluation(run: Path, name: str, **options: Any) -> Path:
    """Write a later evaluation to a run's folder, without ``config.yaml``."""
    folder = write_run(run / "evaluations", name=name, **options)
    (folder / "config.yaml").unlink()
    model = {"checkpoint": str(run / "checkpoints" / "best.ckpt"), "trained_on": "rafdb@holdout", "flip": False}
    change(folder, model=model)
    return folder


def test_evaluations_on_other_sets_are_sections_and_repetitions_are_skipped(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    evaluation(run, "ferplus", protocol="ferplus@majority")
    evaluation(run, "again")
    flipped = evaluation(run, "flip", accuracy=0.72)
    change(flipped, model={"checkpoint": str(run / "checkpoints" / "best.ckpt"), "flip": True})
    runs, left_out = open_runs(find_results([tmp_path]).results)
    assert [(item.folder.name, item.reason.partition(" ")[0]) for item in left_out] == [("again", "repeats")]
    own, other = make_sections(runs)[0]
    assert (own.protocol, [method.label for method in own.methods]) == ("rafdb@holdout", ["flip=false", "flip=true"])
    assert other.protocol == "ferplus@majority"


def test_options_as_written_by_earlier_versions_do_not_separate_evaluations(tmp_path: Path) -> None:
    spellings = ("exclude=None drop=['a', 'b']", "exclude=null drop=[a,b]")
    for seed, options in enumerate(spellings):
        change(write_run(tmp_path, seed=seed, name=f"s{seed}"), evaluation_set=f"all of test, with {options}")
    (section,) = sections_of(tmp_path)
    assert section.evaluation_set == f"all of test, with {spellings[1]}"
    assert len(section.runs) == 2


def test_evaluations_with_other_views_are_other_methods(
    tmp_path: Path,
) -> None:
    run = write_run(tmp_path, changes={"evaluation.shift": 0.0})
    best = str(run / "checkpoints" / "best.ckpt")
    change(evaluation(run, "shifted", accuracy=0.72), model={"checkpoint": best, "flip": False, "shift": 0.02})
    change(evaluation(run, "older"), model={"checkpoint": best, "flip": False})
    runs, left_out = open_runs(find_results([tmp_path]).results)
    assert [item.folder.name for item in left_out] == ["older"]
    assert [method.label for method in make_sections(runs)[0][0].methods] == ["shift=0", "shift=0.02"]


@pytest.mark.parametrize("shift", [None, "wide", [1]])
def test_invalid_shift_in_one_evaluation_does_not_fail_the_report(tmp_path: Path, shift: Any) -> None:
    run = write_run(tmp_path)
    model = {"checkpoint": str(run / "checkpoints" / "best.ckpt"), "flip": False, "shift": shift}
    change(evaluation(run, "odd", accuracy=0.72), model=model)
    assert len(make_sections(open_runs(find_results([tmp_path]).results)[0])[0][0].methods) == 2


def test_evaluation_on_other_synthetic_faces_is_separate(tmp_path: Path) -> None:
    run = write_run(tmp_path, protocol="facs@native", changes={"dataset.occlusion": 0.0})
    folder = evaluation(run, "hidden", protocol="facs@native", accuracy=0.3, changes={"dataset.occlusion": 0.0})
    change(folder, data={"name": "facs", "occlusion": 0.6})
    assert [s.title for s in sections_of(tmp_path)] == [
        "facs@native, test (occlusion 0)",
        "facs@native, test (occlusion 0.6)",
    ]


def test_repeated_seed_is_counted_once(tmp_path: Path) -> None:
    write_run(tmp_path, seed=1, name="run")
    write_run(tmp_path, seed=1, name="run.2")
    runs, _ = open_runs(find_results([tmp_path]).results)
    (section,), left_out = make_sections(runs)
    assert section.methods[0].seeds == 1
    assert [(item.folder.name, item.reason) for item in left_out] == [
        ("run.2", "repeats the configuration and seed of run")
    ]


def test_reason_of_several_folders_is_given_once(tmp_path: Path) -> None:
    """The folder's name and the reason form a sentence in the singular and in the plural."""
    several = [LeftOut(tmp_path / f"runs/{k}", "is archived without features") for k in range(MOST_NAMES + 3)]
    told = said_once([LeftOut(tmp_path / "runs/a", "is not finished"), *several])
    assert [" ".join(pair) for pair in told] == [
        "runs/a is not finished",
        f"{', '.join(f'runs/{k}' for k in range(MOST_NAMES))} and 3 more: each is archived without features",
    ]


def trained(folder: Path, loss: str, seed: int, precision: str | None) -> None:
    run = write_run(folder, loss=loss, seed=seed, name=f"{loss}{seed}")
    found = {"processor": "a processor", "cores": 2, "threads": 2, "gpus": []}
    change(run, hardware=found if precision is None else {**found, "precision": precision})


def test_methods_in_different_precision_are_noted(tmp_path: Path) -> None:
    trained(tmp_path, "ce", 0, "bf16-mixed")
    trained(tmp_path, "dsf", 0, "32-true")
    (note,) = sections_of(tmp_path)[0].notes
    assert "seed 0: loss=ce in bf16-mixed, loss=dsf in 32-true" in note


@pytest.mark.parametrize("others", ["32-true", None])
def test_precision_may_vary_by_seed_and_unrecorded_precision_is_ignored(tmp_path: Path, others: str | None) -> None:
    for loss in ("ce", "dsf"):
        trained(tmp_path, loss, 0, "bf16-mixed")
        trained(tmp_path, loss, 1, others)
    assert sections_of(tmp_path)[0].notes == []


def test_different_precision_without_a_common_seed_is_noted(tmp_path: Path) -> None:
    for loss, precision, seeds in (("ce", "bf16-mixed", (0, 1)), ("dsf", "32-true", (2, 3))):
        for seed in seeds:
            trained(tmp_path, loss, seed, precision)
    (note,) = sections_of(tmp_path)[0].notes
    assert "(loss=ce in bf16-mixed, loss=dsf in 32-true)" in note


def test_evaluations_inherit_the_precision_of_their_checkpoint(tmp_path: Path) -> None:
    for loss, precision in (("ce", "bf16-mixed"), ("dsf", "32-true")):
        run = write_run(tmp_path, loss=loss, name=loss)
        folder = evaluation(run, "fer", protocol="ferplus@majority", loss=loss)
        model = {"checkpoint": str(run / "checkpoints" / "best.ckpt"), "flip": False, "precision": precision}
        change(folder, model=model, hardware={"precision": "32-true"})
    notes = {section.protocol: section.notes for section in sections_of(tmp_path)}
    assert notes["rafdb@holdout"] == []
    assert "loss=ce in bf16-mixed, loss=dsf in 32-true" in notes["ferplus@majority"][0]


@pytest.mark.parametrize(("configured", "told"), [("32", False), ("bf16-mixed", True), ("auto", False)])
def test_older_runs_use_their_configured_precision(tmp_path: Path, configured: str, told: bool) -> None:
    run = write_run(tmp_path, changes={"trainer.precision": configured}, name="older")
    config = json.loads((run / "result.json").read_text())["config"]
    other = write_run(tmp_path, loss="dsf", changes={"trainer.precision": configured}, name="newer")
    change(other, hardware={"precision": "32-true"})
    assert config["trainer"]["precision"] == configured
    assert bool(sections_of(tmp_path)[0].notes) == told


def test_comparison_of_precisions_notes_settings_that_resolved_differently(tmp_path: Path) -> None:
    for loss, precision, used in (
        ("ce", "auto", "32-true"), ("dsf", "auto", "bf16-mixed"),
        ("ce", "32-true", "32-true"), ("dsf", "32-true", "32-true"),
    ):  # fmt: skip
        run = write_run(tmp_path, loss, changes={"trainer.precision": precision}, name=f"{loss}-{precision}")
        change(run, hardware={"precision": used})
    (note,) = sections_of(tmp_path)[0].notes
    assert "32-true" in note
    assert "bf16-mixed" in note


def test_comparison_of_precisions_gives_no_note(tmp_path: Path) -> None:
    for precision in ("bf16-mixed", "32-true"):
        run = write_run(tmp_path, changes={"trainer.precision": precision}, name=precision)
        change(run, hardware={"precision": precision})
    assert sections_of(tmp_path)[0].notes == []


#: Two files of conf/backbone/ that build timm's convnext_tiny.
SMALL = {"backbone.options": {"depths": [1, 1, 2, 1]}, "backbone.drop_path_rate": 0.0}
TINY = {"backbone.drop_path_rate": 0.1}


def test_methods_are_named_by_the_typed_choices(tmp_path: Path) -> None:
    for seed in range(2):
        write_run(tmp_path, seed=seed, changes={**SMALL, "choices": {"backbone": "convnext_64px"}}, name=f"a{seed}")
        write_run(tmp_path, seed=seed, changes=TINY, name=f"b{seed}")
    write_run(tmp_path, seed=2, changes=SMALL, name="of an earlier version")
    (section,) = sections_of(tmp_path, "backbone=convnext_64px")
    assert [(a.title, a.tied) for a in section.axes] == [("backbone", ())]
    assert {m.short: m.seeds for m in section.methods} == {"convnext_64px": 3, "convnext_tiny": 2}
    assert section.baseline.label == "backbone=convnext_64px"


def test_recipes_are_an_axis_and_their_settings_are_not(tmp_path: Path) -> None:
    for recipe, rate, loss in (("a", 0.1, "ce"), ("b", 0.2, "dsf"), ("c", 0.1, "dsf")):
        changes = {"optimizer.lr": rate, "choices": {"experiment": recipe}}
        write_run(tmp_path, loss, changes=changes, name=recipe)
    (section,) = sections_of(tmp_path)
    assert [m.label for m in section.methods] == ["experiment=a", "experiment=b", "experiment=c"]
    write_run(tmp_path, "lgm", name="by options alone")
    assert [a.title for a in sections_of(tmp_path)[0].axes] == ["loss", "learning rate"]


def test_numbers_and_booleans_are_shown_with_their_option(tmp_path: Path) -> None:
    for rate in (0.1, 0.2):
        write_run(tmp_path, changes={"optimizer.lr": rate}, name=f"lr{rate}")
    (section,) = sections_of(tmp_path)
    assert [m.short for m in section.methods] == ["learning rate 0.1", "learning rate 0.2"]


def test_long_names_with_a_common_prefix_stay_distinct(tmp_path: Path) -> None:
    names = ("vit_small_patch14_reg4_dinov2.lvd142m", "vit_small_patch14_reg4_dinov2.other")
    for name in names:
        write_run(tmp_path, changes={"backbone.name": name}, name=name)
    (section,) = sections_of(tmp_path)
    assert sorted(m.short for m in section.methods) == sorted(names)
