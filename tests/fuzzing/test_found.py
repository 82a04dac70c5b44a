"""Regression tests for faults found by campaigns."""

from __future__ import annotations

import json
import time
import zipfile
from pathlib import Path

import pytest
import torch
from data.layout_trees import write_affectnet_npy
from fuzzing.outcome import command_line
from PIL import Image, features
from reporting.fabricate import write_run

from mfer_lightning.checkpoints.file_checks import check_class_names
from mfer_lightning.config.instantiate import instantiate
from mfer_lightning.config.location import use_config_dirs
from mfer_lightning.data.datasets.affectnet import AffectNetDataModule
from mfer_lightning.data.images.decode import decode
from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.keep_study import keep_study
from mfer_lightning.evaluation.runs import find_results
from mfer_lightning.evaluation.study_archive import read_archive
from mfer_lightning.inference.media.photos import read_photo
from mfer_lightning.inference.results import UNREADABLE
from mfer_lightning.nn.weights.nearest_backbone import nearest_backbone
from mfer_lightning.nn.weights.read import read_state
from mfer_lightning.onnx.read_faces import read_face
from mfer_lightning.reporting.study.provenance import made_with
from mfer_lightning.reporting.study.runs import open_runs
from mfer_lightning.training.checks.names import check_names


def test_invalid_class_names_are_not_quoted_in_full() -> None:
    with pytest.raises(UserError, match="its class names are") as refusal:
        check_class_names([{"network": ["x"] * 2_000}], Path("model.ckpt"))
    assert len(str(refusal.value)) < 500


def test_reason_for_a_damaged_weight_file_does_not_quote_the_file(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({f"layer{n}.weight": torch.zeros(16) for n in range(200)}, path)
    content = bytearray(path.read_bytes())
    content[6:8] = bytes(2)  # names are not UTF-8
    content[26:28] = (9_000).to_bytes(2, "little")  # length of the first name
    path.write_bytes(content)
    with pytest.raises(UserError, match="cannot be read as weights: File name in directory") as refusal:
        read_state(path)
    assert len(str(refusal.value)) < 600


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow cannot write AVIF")
def test_damaged_avif_image_is_rejected_by_every_reader(tmp_path: Path) -> None:
    path = tmp_path / "face.avif"
    Image.new("RGB", (40, 40), "red").save(path)
    content = path.read_bytes()
    start = content.index(b"mdat") + 4
    path.write_bytes(content[:start] + bytes(len(content) - start))
    for reader in (decode, read_face):
        with pytest.raises(UserError, match=r"face\.avif"):
            reader(path)
    assert read_photo(path).status == UNREADABLE


def test_jpeg_2000_image_whose_header_claims_terabytes_is_rejected_by_every_reader(tmp_path: Path) -> None:
    """Pillow allocates the claimed size before it reads, which raises MemoryError."""
    path = tmp_path / "face.jp2"
    boxes = [b"jP  " + bytes.fromhex("0d0a870a"), b"ftypjp2 " + bytes(4) + b"jp2 "]
    start = b"".join((4 + len(box)).to_bytes(4, "big") + box for box in boxes)
    path.write_bytes(start + (1).to_bytes(4, "big") + b"jp2h" + (1 << 44).to_bytes(8, "big") + bytes(100))
    with pytest.raises(UserError, match=r"face\.jp2 is damaged, or there is not enough memory to decode it"):
        decode(path)
    with pytest.raises(UserError, match=r"face\.jp2 is damaged, or there is not enough memory to decode it"):
        read_face(path)
    assert read_photo(path).message == "there is not enough memory to decode it"


def test_npy_annotation_with_an_invalid_header_is_rejected(tmp_path: Path) -> None:
    write_affectnet_npy(tmp_path, train=16, val=8)
    path = tmp_path / "train_set" / "annotations" / "3_exp.npy"
    content = path.read_bytes()
    path.write_bytes(content[:11] + b"{" + content[12:].replace(b"}", b" "))
    with pytest.raises(UserError, match="is not a NumPy file"):
        AffectNetDataModule(root=tmp_path, cache="none").setup("predict")


def test_error_messages_escape_control_characters_and_shorten_long_words() -> None:
    assert str(UserError("x\x1b[2J\x8e.png\nis no picture")) == "x\\x1b[2J\\x8e.png\nis no picture"
    assert len(str(UserError(f"{'ab' * 3_000} is no emotion"))) < 250


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: a\n b: [\n", r"mine\.yaml, line 2: this is not a valid YAML file"),
        ("name: \0", r"mine\.yaml: this is not a valid YAML file"),
        ("name: mine\nclassification: null\n", "loss.classification=None: a classification loss is required"),
    ],
)
def test_invalid_yaml_file_is_rejected_by_name_and_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "loss").mkdir()
    (tmp_path / "loss" / "mine.yaml").write_text(text)
    with pytest.raises(UserError, match=said):
        command_line("train", "--config-dir", str(tmp_path), "loss=mine", f"paths.runs={tmp_path / 'runs'}")
    use_config_dirs(())


@pytest.mark.parametrize("node", [{}, {"name": False}, {"name": None}, {"name": ""}])
def test_dataset_without_a_name_is_rejected(node: dict[str, object]) -> None:
    with pytest.raises(UserError, match="every choice needs a name"):
        check_names({"dataset": node})


def test_features_file_with_invalid_members_is_ignored(tmp_path: Path) -> None:
    folder = write_run(tmp_path, n=42)
    with zipfile.ZipFile(folder / "features_test.npz", "w") as file:
        file.writestr("feature", b"no array")
        file.writestr("label.npy", b"no array")
    runs, _ = open_runs(find_results([tmp_path]).results)
    assert [run.features() for run in runs] == [None]


@pytest.mark.parametrize("value", ["0.5", [0.5], 1.5, 10**400])
def test_result_with_invalid_metrics_is_skipped(tmp_path: Path, value: object) -> None:
    folder = write_run(tmp_path, n=42)
    result = json.loads((folder / "result.json").read_text())
    name = result["class_names"][0]
    result["per_class"][name]["recall"] = value
    (folder / "result.json").write_text(json.dumps(result))
    assert f"per_class.{name}.recall is" in find_results([tmp_path]).left_out[0].reason


def test_matching_backbone_is_found_quickly_after_the_first_file() -> None:
    nearest_backbone({"x": torch.zeros(1)})
    started = time.process_time()
    nearest_backbone({"x": torch.zeros(1)})
    assert time.process_time() - started < 0.5


def test_archive_with_a_damaged_array_header_is_rejected(tmp_path: Path) -> None:
    write_run(tmp_path / "runs", n=42)
    keep_study([tmp_path / "runs"], tmp_path / "kept")
    archive = tmp_path / "kept" / "runs.npz"
    with zipfile.ZipFile(archive) as file:
        members = {name: file.read(name) for name in file.namelist()}
    array = next(name for name in members if name.endswith("logits.npy"))
    members[array] = members[array].replace(b"'shape': (", b"'shape': [(", 1)  # NumPy's parser raises TokenError
    with zipfile.ZipFile(archive, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    with pytest.raises(UserError, match="cannot be read"):
        read_archive(archive)


@pytest.mark.parametrize("gpus", [1.5, None, "H100", {}])
def test_damaged_list_of_gpus_is_left_out_of_a_report(tmp_path: Path, gpus: object) -> None:
    path = write_run(tmp_path, n=42) / "result.json"
    result = json.loads(path.read_text())
    path.write_text(json.dumps({**result, "hardware": {**result["hardware"], "gpus": gpus}}))
    runs, _ = open_runs(find_results([tmp_path]).results)
    assert dict(made_with(runs))["hardware"]


def test_wrong_option_that_is_a_number_is_rejected() -> None:
    with pytest.raises(UserError, match="has no option `3`"):
        instantiate({"_target_": "mfer_lightning.losses.CrossEntropy", 3: 1}, where="loss.feature")
