"""Exports in the Hugging Face layout: content, reading back, and errors."""

from __future__ import annotations

import json
import math
import os
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard
from inference.conftest import NAMES, Forms, write_checkpoint
from inference.test_model import SWIN
from safetensors.torch import load_file

from mfer_lightning.bundled.export_results import export_results
from mfer_lightning.data.augment import build_augment
from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.intervals import result_interval, wilson
from mfer_lightning.files import sha256_of
from mfer_lightning.inference.export.atomic_folder import atomic_folder
from mfer_lightning.inference.export.card import licence_note, model_card
from mfer_lightning.inference.export.run_results import find_results, publishable
from mfer_lightning.inference.export.safetensors_folder import is_export
from mfer_lightning.inference.model import FERModel, read_model
from mfer_lightning.nn import MFER

RESULT = {
    "dataset": "rafdb",
    "protocol": "rafdb@holdout",
    "split": "test",
    "n": 100,
    "metrics": {"accuracy": 0.9, "macro_f1": 0.85, "nll": 0.3},
    "per_class": {n: {"n": 33, "precision": 0.9, "recall": None, "f1": 0.9} for n in NAMES},
    "notes": ["a note"],
}


def test_export_round_trips(forms: Forms, tmp_path: Path) -> None:
    assert sorted(f.name for f in forms.safetensors.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert is_export(forms.safetensors)
    assert not is_export(forms.onnx)
    for model in (
        read_model(forms.safetensors),
        FERModel.from_pretrained(forms.safetensors),
    ):
        assert model.class_names == NAMES
        assert model.preprocess.to_config() == forms.model.preprocess.to_config()
        assert model.metadata["protocol"] == "facs@native"
        assert model.metadata["epoch"] == 4
        for name, value in forms.model.network.state_dict().items():
            torch.testing.assert_close(model.network.state_dict()[name], value, rtol=0, atol=0)
    again = model.save_pretrained(tmp_path / "again")
    assert (again / "model.safetensors").read_bytes() == (forms.safetensors / "model.safetensors").read_bytes()
    assert (again / "config.json").read_text() == (forms.safetensors / "config.json").read_text()


def test_network_with_computed_buffers_round_trips(tmp_path: Path) -> None:
    model = read_model(write_checkpoint(tmp_path / "x.ckpt", MFER(SWIN, 3)), "cpu")
    faces = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    again = read_model(model.save_pretrained(tmp_path / "swin"), "cpu")
    torch.testing.assert_close(again(faces)["logits"], model(faces)["logits"])


def test_half_precision_weights_are_loaded_as_float32(forms: Forms, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    folder = forms.model.save_pretrained(tmp_path / "half")
    weights = {n: v.half() for n, v in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(UserError, match="its SHA-256 is not the one in"):
        read_model(folder)
    config = json.loads((folder / "config.json").read_text())
    config["sha256"]["model.safetensors"] = sha256_of(folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    assert {v.dtype for v in read_model(folder).network.state_dict().values()} == {torch.float32}


def test_config_is_readable_by_hubs_and_people(forms: Forms) -> None:
    config = json.loads((forms.safetensors / "config.json").read_text())
    assert config["format"] == 1
    assert config["id2label"] == {"0": "anger", "1": "fear", "2": "happiness"}
    assert config["label2id"]["happiness"] == 2
    assert {"network", "preprocess", "alignment", "protocol", "versions", "results", "model_type"} <= set(config)
    assert {"mfer_lightning", "torch", "timm", "python"} <= set(config["versions"])


def test_model_card_is_readable_by_hubs(forms: Forms) -> None:
    description = {**forms.model.describe(), "dataset": "rafdb", "results": [RESULT]}
    text = model_card(description, "safetensors")
    card = ModelCard(text)
    found = {r.metric_type: r.metric_value for r in card.data.eval_results}
    assert found == {"accuracy": 0.9, "macro_f1": 0.85, "nll": 0.3}
    assert card.data.library_name == "mfer_lightning"
    low, high = wilson(90, 100)
    assert f"| Accuracy | 90.00% | {100 * low:.2f}% to {100 * high:.2f}% |" in text
    assert "| Macro F1 | 85.00% | - |" in text
    assert "| anger | 33 | 90.00% | - | 90.00% |" in text
    for words in (
        "Do not use it for decisions about people",
        "RAF-DB is for non-commercial research only",
        "load_model(",
        "a note",
    ):
        assert words in text
    bare = model_card({**description, "results": []}, "safetensors")
    assert "No finished evaluation" in bare
    assert "table below" not in bare
    words = " ".join(bare.split())
    assert "at the workplace or in education institutions are prohibited, except for medical or safety reasons" in words
    assert "(Regulation (EU) 2024/1689, Article 5(1)(f))" in words
    assert "*Psychological Science in the Public Interest* 20(1), 2019" in words


def test_classes_on_a_model_card_are_those_of_the_test_split(forms: Forms) -> None:
    val = {**RESULT, "split": "val", "per_class": {"anger": {**RESULT["per_class"]["anger"], "n": 34}}}
    description = forms.model.describe()
    both = model_card({**description, "results": [val, RESULT]}, "safetensors")
    assert re.search(r"By class, on \*\*test\*\*:\n\n.*\n.*\n\| anger \| 33 \|", both)
    only = model_card({**description, "results": [val]}, "safetensors")
    assert re.search(r"By class, on \*\*val\*\*:\n\n.*\n.*\n\| anger \| 34 \|", only)


@pytest.mark.parametrize(
    "change",
    [
        {"metrics": {"accuracy": "high"}},
        {"metrics": None},
        {"n": "100"},
        {"per_class": {"anger": 3}},
        {"per_class": {"anger": {"n": None}}},
        {"intervals": ["x"]},
        {"shift": "far"},
        {"notes": 5},
        {"split": None},
        {"n": -1},
        {"n": 10**400},
        {"n": True},
        {"metrics": {"accuracy": math.inf}},
        {"metrics": {"accuracy": math.nan}},
        {"metrics": {"accuracy": 10**400}},
        {"metrics": {"accuracy": 7}},
        {"metrics": {"nll": -math.inf}},
        {"per_class": {"anger": {"n": 3}}},
        {"per_class": {"anger": {"n": 3, "precision": 0.5, "recall": 0.5}}},
        {"per_class": {"anger": {"n": -3, "precision": 0.5, "recall": 0.5, "f1": 0.5}}},
        {"per_class": {"anger": {"n": 3, "precision": math.nan, "recall": 0.5, "f1": 0.5}}},
        {"per_class": {"anger": {"n": 3, "precision": 10**400, "recall": 0.5, "f1": 0.5}}},
        {"intervals": {"accuracy": "high"}},
        {"intervals": {"accuracy": [0.5, 10**400]}},
        {"intervals": {"accuracy": {"low": math.nan, "high": 1}}},
        {"metrics": {"mean_class_accuracy": 0.5}, "confusion": "x"},
        {"metrics": {"mean_class_accuracy": 0.5}, "confusion": [[0, 0], [0, 0]]},
        {"metrics": {"mean_class_accuracy": 0.5}, "confusion": [[1, -1], [0, 0]]},
    ],
    ids=lambda change: str(change)[:60],
)
def test_malformed_results_of_an_export_are_left_out(change: dict[str, Any], forms: Forms) -> None:
    malformed = [{**RESULT, **change}, {}, "x", None]
    for results in ([*malformed, RESULT], malformed, {"a": RESULT}):
        described = {**forms.model.describe(), "results": results}
        assert find_results(None, described) == export_results(described) == [r for r in results if r == RESULT]
        assert ("On **test** of `rafdb@holdout`" in model_card(described, "safetensors")) == (RESULT in list(results))


@pytest.mark.parametrize("description", [[], None, "x", 3])
def test_a_description_that_is_not_a_mapping_has_no_results(description: object) -> None:
    assert export_results(description) == []


def test_model_card_lists_the_training_augmentation(forms: Forms) -> None:
    described = forms.model.describe()
    assert "Augmentation" not in model_card(described, "safetensors")
    text = model_card({**described, "augmentation": build_augment("strong").to_dict()}, "safetensors")  # type: ignore[union-attr]
    for line in (
        "in this order (albumentations ",
        "  - `HorizontalFlip(p=0.5)`\n",
        "  - `RandomWarp(p=1.0, rotate=15.0, scale=0.15, shift=0.08)`\n",
        "  - `SomeOf(p=0.8, transforms=[ColorJitter(",
        "num_bits=[4, 6]",
        "- Hash of labels" if described.get("data_hash") else "- Before you share the weights",
    ):
        assert line in text
    for hostile in ("x", ["x"], {"transform": "`a`\n# b"}, {"transform": {"transforms": [3, {"p": 1}]}}, {}):
        card = model_card({**described, "augmentation": hostile}, "safetensors")
        assert "\n# b" not in card


def test_model_card_describes_the_averaged_views(forms: Forms) -> None:
    assert "average the logits" not in model_card({**forms.model.describe(), "flip": False, "shift": 0.0}, "onnx")
    for views, words in (
        ({"flip": True, "shift": 0.0}, r"averaged with the mirrored face\. .* average the logits of the 2 pictures"),
        ({"flip": True, "shift": 0.02}, "four copies shifted towards the corners by 2% .* logits of the 10 pictures"),
    ):
        assert re.search(words, model_card({**forms.model.describe(), **views}, "onnx"))


@pytest.mark.parametrize("stored", [[0.8, 0.95], {"low": 0.8, "high": 0.95}])
def test_stored_intervals_take_precedence(stored: object) -> None:
    assert result_interval({**RESULT, "intervals": {"accuracy": stored}}, "accuracy") == (0.8, 0.95)
    assert result_interval(RESULT, "macro_f1") is None


def test_machine_paths_are_not_exported() -> None:
    config = {
        "paths": {"data": "/home/me/sets", "runs": "/home/me/runs"},
        "dataset": {"root": "/home/me/sets/raf-db", "list": "/elsewhere/list.txt", "size": 3},
        "weights": "~/secret/weights.pth",
        "logger": {"entity": "me"},
        "loss": {"name": "ce"},
    }
    found = publishable(config)
    assert "me" not in json.dumps(found).replace("name", "")
    assert found["dataset"] == {"root": "data/raf-db", "list": "list.txt", "size": 3}
    assert found["weights"] == "weights.pth"


def test_licence_of_an_unknown_dataset_is_left_to_the_user() -> None:
    assert "state it here" in licence_note("mine")
    assert "MIT" in licence_note("ferplus")


def test_second_export_is_rejected_or_replaces_the_first_completely(forms: Forms, tmp_path: Path) -> None:
    folder = forms.model.save_pretrained(tmp_path / "x")
    (folder / "README.md").write_text("mine")
    with pytest.raises(UserError, match="replace=true"):
        forms.model.save_pretrained(folder)
    assert (folder / "README.md").read_text() == "mine"
    forms.model.save_pretrained(folder, replace=True)
    assert (folder / "README.md").read_text() != "mine"
    assert [f.name for f in tmp_path.iterdir()] == ["x"]


def test_folder_that_is_not_an_export_is_never_replaced(forms: Forms, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    (tmp_path / "file").touch()
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "config.json").touch()
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    for name, words in (
        ("mine", "contains files other than an export"),
        ("file", "is a file"),
        ("run", "files other than an export"),
        ("link", "is a symbolic link"),
    ):
        with pytest.raises(UserError, match=words):
            forms.model.save_pretrained(tmp_path / name, replace=True)
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years of work"


def test_export_is_written_completely_or_not_at_all(tmp_path: Path) -> None:
    def stop_half_way() -> None:
        with atomic_folder(tmp_path / "x") as folder:
            (folder / "half").touch()
            raise KeyError

    with pytest.raises(KeyError):
        stop_half_way()
    assert not list(tmp_path.iterdir())
    (tmp_path / "empty").mkdir()
    with atomic_folder(tmp_path / "empty") as folder:
        (folder / "all").touch()
    assert [f.name for f in (tmp_path / "empty").iterdir()] == ["all"]
    assert [f.name for f in tmp_path.iterdir()] == ["empty"]


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_unwritable_folder_raises_one_clear_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="Cannot write"), atomic_folder(tmp_path / "x"):
        pass


def test_parent_that_is_a_file_raises_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="Cannot write"), atomic_folder(tmp_path / "file" / "x"):
        pass
