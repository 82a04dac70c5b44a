"""``weights=<bundled name>``: training starts from a bundled model."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import torch
from commands.conftest import TINY, only_run

from mfer_lightning.bundled.registry import find_bundled, with_version
from mfer_lightning.checkpoints.read import read_checkpoint
from mfer_lightning.cli import main
from mfer_lightning.config.compose import compose_train
from mfer_lightning.errors import UserError
from mfer_lightning.inference.model import read_model
from mfer_lightning.nn import MFER, load_weights
from mfer_lightning.training.build import build_network
from mfer_lightning.training.bundled_weights import fitting_options
from mfer_lightning.training.initial_weights import load_initial_weights
from mfer_lightning.training.teachers import teacher_files

FEW = (
    *(option for option in TINY if not option.startswith(("evaluation", "trainer.max"))),
    "dataset.train_size=16",
    "dataset.val_size=8",
    "dataset.test_size=8",
    "evaluation.embedding_points=0",
    "trainer.max_epochs=1",
    "backbone=convnext_atto",
)


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    return int(stop.value.code or 0)


@pytest.fixture(autouse=True)
def _elsewhere(blank_figures: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def test_name_is_stored_with_its_version_and_a_path_takes_precedence(bundled: Path) -> None:
    assert compose_train(["weights=large"])["weights"] == "large-v2"
    assert [with_version(name) for name in ("large-v1", "none", "imagenet", "x.ckpt")] == [
        "large-v1",
        "none",
        "imagenet",
        "x.ckpt",
    ]
    Path("large").touch()
    assert compose_train(["weights=large"])["weights"] == "large"


def test_path_that_takes_precedence_is_reported(bundled: Path, capsys: pytest.CaptureFixture) -> None:
    note = "small is a file or folder here, and is used instead of the bundled model. To use the bundled model, set "
    Path("small").mkdir()
    assert run(*FEW, "weights=small") == 2
    assert f"Error: weights=small: {note}weights=small-v1." in capsys.readouterr().err
    Path("small").rmdir()
    Path("small").write_text("not weights")
    with pytest.raises(UserError):
        load_initial_weights({"weights": "small"}, MFER("resnet18", 3), ("anger", "fear", "happiness"))
    assert f"Note: {note}weights=small-v1." in capsys.readouterr().out


@pytest.mark.parametrize(("recipe", "name"), [("finetune", "ferplus"), ("finetune_tiny", "ferplus_tiny")])
def test_recipe_that_fine_tunes_a_bundled_model_builds_its_network(recipe: str, name: str) -> None:
    Path(name).mkdir()  # e.g. the folder of the dataset
    config = compose_train([f"experiment=bundled/{recipe}"])
    assert config["weights"] == f"{name}-v1", "neither a path nor a later model may replace the weights"
    model = find_bundled(config["weights"])
    assert model is not None
    trained = model.description()
    network = build_network(config, len(trained["class_names"]))
    report = load_weights(network, str(model.folder / "model.safetensors"))
    assert (report.new, report.dropped) == ((), ())
    same = ("size", "mean", "std", "interpolation")
    assert [config["preprocess"][key] for key in same] == [trained["config"]["preprocess"][key] for key in same]


def test_training_uses_new_heads_for_other_classes(bundled: Path, capfd: pytest.CaptureFixture) -> None:
    assert run(*FEW, "weights=small", "optimizer.lr=1e-12", "optimizer.weight_decay=0") == 0
    said = capfd.readouterr().out
    assert (
        "weights: trained on the classes anger, fear, happiness, not on those of this dataset; the heads are new."
        in said
    )
    assert "tensors from small-v1 (" in said
    checkpoint = read_checkpoint(only_run(Path("runs")) / "checkpoints" / "best.ckpt")
    assert checkpoint["mfer"]["config"]["weights"] == "small-v1"
    first = read_model("small", "cpu").network.state_dict()
    for name, value in checkpoint["state_dict"].items():
        own = name.removeprefix("network.")
        if own.startswith("backbone.") and own in first and first[own].is_floating_point():
            torch.testing.assert_close(value, first[own])


def test_mismatched_network_error_shows_the_fitting_options(bundled: Path, capfd: pytest.CaptureFixture) -> None:
    model = find_bundled("small")
    assert model is not None
    options = fitting_options(model)
    assert shlex.split(options) == [
        "backbone=convnext_atto",
        "backbone.options={depths:[1,1,1,1],dims:[8,16,24,32]}",
        "attention=ds",
        "attention.kernel_size=3",
        "head=multiscale",
        "preprocess.size=32",
        "preprocess.mean=half",
        "preprocess.std=half",
    ]
    other = [option for option in FEW if not option.startswith(("backbone", "attention"))]
    assert run(*other, "backbone=convnext_atto", "weights=small") == 2
    assert f"Options that build a network like small-v1: {options}" in capfd.readouterr().err
    composed = compose_train(shlex.split(options))
    assert composed["attention"]["kernel_size"] == 3
    assert composed["backbone"]["options"]["dims"] == [8, 16, 24, 32]


def test_bundled_model_can_be_a_teacher(bundled: Path) -> None:
    found = teacher_files({"method": {"name": "distill", "teachers": ["small", "large-v1"]}})
    assert found == [bundled / name / "model.safetensors" for name in ("small-v1", "large-v1")]


def test_damaged_file_raises_one_clear_error(bundled: Path, capfd: pytest.CaptureFixture) -> None:
    path = bundled / "small-v1" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    assert run(*FEW, "weights=small") == 2
    assert "Error: The bundled model small-v1 is damaged" in capfd.readouterr().err


def test_heads_are_matched_by_class_name(bundled: Path, capsys: pytest.CaptureFixture) -> None:
    source = read_model("small", "cpu").network.eval()
    names = ("happiness", "anger")
    model = MFER(source.config["backbone"], 2, attention={"name": "ds", "kernel_size": 3}).eval()
    load_initial_weights({"weights": "small", "preprocess": {"colour": None}}, model, names)
    assert "trained on the classes anger, fear, happiness; heads matched by name to happiness, anger." in (
        capsys.readouterr().out
    )
    faces = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(model(faces)["logits"], source(faces)["logits"][:, [2, 0]])
