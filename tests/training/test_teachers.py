"""Teachers predict in the student's class order, after their own preprocessing, or are rejected."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mfer_lightning.errors import UserError
from mfer_lightning.inference.model import FERModel
from mfer_lightning.methods import Distill
from mfer_lightning.nn import DDAMFN, MFER, Preprocess
from mfer_lightning.training.checks.trial_build import gflops_of, relative_cost
from mfer_lightning.training.teachers import check_teachers, load_teachers, teacher_records

CLASSES = ("sadness", "happiness", "anger")


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """A teacher for 32 pixels, on faces aligned to a template."""
    torch.manual_seed(0)
    backbone = {"name": "convnext_atto", "options": {"depths": [1, 1, 1, 1], "dims": [4, 8, 12, 16]}}
    network = MFER(backbone, 3, attention="none", head="linear")
    model = FERModel(network, Preprocess(size=32, mean="half", std="half", alignment="arcface-1"), CLASSES)
    return model.save_pretrained(tmp_path / "teacher")


def config(*teachers: Path) -> dict[str, object]:
    return {"method": {"name": "distill", "teachers": [str(path) for path in teachers]}}


def test_teacher_logits_are_in_student_order_after_own_preprocessing(export: Path) -> None:
    faces = torch.randint(0, 256, (4, 3, 40, 40), dtype=torch.uint8)
    (teacher,) = load_teachers(config(export), ("anger", "joy", "sadness"), "arcface-1")
    expected = FERModel.from_pretrained(export, "cpu")(faces)["logits"]
    assert torch.equal(teacher(faces)["logits"], expected[:, [2, 1, 0]])
    assert not teacher.train().model.training


def test_teachers_do_not_affect_the_random_state_of_the_student(export: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load_teachers(config(export), CLASSES, None)
    assert torch.equal(torch.rand(3), expected)


def test_teacher_cost_is_measured_at_its_own_image_size(tmp_path: Path) -> None:
    backbone = {"name": "mixedfeaturenet", "options": {"depths": [1, 1, 1], "width": 8}}
    FERModel(DDAMFN(3, backbone=backbone), Preprocess(size=112), CLASSES).save_pretrained(tmp_path / "teacher")
    (teacher,) = load_teachers(config(tmp_path / "teacher"), CLASSES, None)
    gflops = gflops_of(teacher.network, 112)
    assert relative_cost(Distill([teacher]), gflops, 64) == pytest.approx(1 + 1 / 3, rel=1e-6)


class TestRejectedTeachers:
    def test_different_classes(self, export: Path) -> None:
        with pytest.raises(
            UserError,
            match=r"cannot be a teacher here: The classes differ: only the "
            r"model has anger",
        ) as e:
            load_teachers(config(export), ("sadness", "happiness", "fear"), None)
        assert "drop=" not in str(e.value)

    def test_different_alignment(self, export: Path) -> None:
        with pytest.raises(UserError, match="aligned to arcface-1, but these are aligned to mfer-1"):
            load_teachers(config(export), CLASSES, "mfer-1")

    def test_changed_file(self, export: Path, tmp_path: Path) -> None:
        before = teacher_records(config(export))
        check_teachers(before, teacher_records(config(export)), tmp_path)
        file = export / "model.safetensors"
        file.write_bytes(file.read_bytes() + b" ")
        with pytest.raises(UserError, match=r"has changed since .*resume=never"):
            check_teachers(before, teacher_records(config(export)), tmp_path)

    @pytest.mark.parametrize(
        ("teacher", "written"), [(None, "null"), (True, "true"), ({"path": "x"}, '{"path": "x"}'), (" ", '" "')]
    )
    def test_invalid_path(self, export: Path, teacher: object, written: str) -> None:
        with pytest.raises(UserError, match=rf"method.teachers: a teacher is a run's folder, .*, not {written}\. Use"):
            teacher_records({"method": {"name": "distill", "teachers": [str(export), teacher]}})

    def test_missing_teacher(self) -> None:
        with pytest.raises(UserError, match=r"method.teachers=\[runs/first"):
            teacher_records(config())
        assert teacher_records({"method": {"name": "baseline"}}) == []
