"""Distillation against a naive reference in float64; teachers are not changed."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mfer_lightning.errors import UserError
from mfer_lightning.methods import Distill, Step, describe_method
from mfer_lightning.nn import MFER


class Teacher(nn.Module):
    """Classifies the mean colour of uint8 faces."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.line = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5)).double()

    def forward(self, faces: Tensor) -> dict[str, Tensor]:
        return {"logits": 5 * self.line(faces.double().mean((2, 3)) / 64)}


@pytest.fixture
def batch(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    return {**batch, "pixels": torch.randint(0, 256, (6, 3, 8, 8), dtype=torch.uint8)}


def naive_softmax(logits: list[float], temperature: float) -> list[float]:
    powers = [math.exp(z / temperature) for z in logits]
    return [p / sum(powers) for p in powers]


class TestFormula:
    @pytest.mark.parametrize(("temperature", "alpha"), [(2.0, 0.5), (5.0, 0.9), (1.0, 1.0)])
    def test_matches_the_formula_with_averaged_teachers(
        self, network: MFER, step: Step, batch: dict[str, Tensor], temperature: float, alpha: float
    ) -> None:
        teachers = [Teacher(1).eval(), Teacher(2).eval()]
        terms = Distill(teachers, temperature, alpha)(batch, step)
        logits = network(batch["image"])["logits"].detach()
        divergence = 0.0
        for face in range(6):
            own = naive_softmax(logits[face].tolist(), temperature)
            theirs = [naive_softmax(t(batch["pixels"])["logits"][face].tolist(), temperature) for t in teachers]
            mean = [sum(ps) / 2 for ps in zip(*theirs, strict=True)]
            divergence += sum(p * math.log(p / q) for p, q in zip(mean, own, strict=True)) / 6
        hard = float(F.cross_entropy(logits, batch["label"]))
        assert float(terms["distillation"].detach()) == pytest.approx(temperature**2 * divergence, rel=1e-9)
        assert float(terms["classification"].detach()) == pytest.approx(hard, rel=1e-9)
        expected = alpha * temperature**2 * divergence + (1 - alpha) * hard
        assert float(terms["total"].detach()) == pytest.approx(expected, rel=1e-9)

    def test_student_equal_to_its_teacher_has_zero_loss(self, step: Step, batch: dict[str, Tensor]) -> None:
        teacher = Teacher(1).eval()

        class Same(nn.Module):
            def forward(self, image: Tensor) -> dict[str, object]:
                logits = teacher(batch["pixels"])["logits"]
                return {"feature": image, "logits": logits, "head_logits": (logits,)}

        terms = Distill([teacher])(batch, replace(step, network=Same()))
        assert float(terms["distillation"]) == pytest.approx(0, abs=1e-12)

    def test_teacher_accuracy_is_logged(self, step: Step, batch: dict[str, Tensor]) -> None:
        teacher = Teacher(1).eval()
        given = teacher(batch["pixels"])["logits"].argmax(1)
        right = (given == batch["label"]).double().mean()
        assert float(Distill([teacher])(batch, step)["teachers_right"]) == pytest.approx(float(right))


class TestTeachers:
    def test_teachers_are_frozen_not_stored_and_in_eval_mode(self, step: Step, batch: dict[str, Tensor]) -> None:
        method = Distill([Teacher(1).train()])
        method.train()
        assert not list(method.parameters())
        assert not method.state_dict()
        assert not method.teachers[0].training
        method(batch, step)["total"].backward()
        assert all(p.grad is None and not p.requires_grad for p in method.teachers[0].parameters())

    def test_copies_share_teachers(self) -> None:
        method = Distill([Teacher(1)])
        assert copy.deepcopy(method).teachers[0] is method.teachers[0]

    def test_description_excludes_teachers(self) -> None:
        described = describe_method(Distill([Teacher(1)], temperature=3.0))
        assert described == {"_target_": "mfer_lightning.methods.Distill", "temperature": 3.0, "alpha": 0.5}

    def test_inference_mode_teacher_can_be_used(self, step: Step, batch: dict[str, Tensor]) -> None:
        class Inference(Teacher):
            def forward(self, faces: Tensor) -> dict[str, Tensor]:
                with torch.inference_mode():
                    return super().forward(faces)

        Distill([Inference(1)])(batch, step)["total"].backward()

    @pytest.mark.parametrize("buffers", [0, 1])
    def test_teacher_without_parameters_can_be_used(self, step: Step, batch: dict[str, Tensor], buffers: int) -> None:
        class Fixed(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                if buffers:
                    self.register_buffer("logits", torch.tensor([1.0, 2.0, 3.0]))

            def forward(self, faces: Tensor) -> dict[str, Tensor]:
                logits = self.logits if buffers else torch.tensor([1.0, 2.0, 3.0])
                return {"logits": logits.expand(len(faces), 3)}

        Distill([Fixed()])(batch, step)["total"].backward()


class TestErrors:
    @pytest.mark.parametrize(("option", "value"), [("temperature", 0.0), ("alpha", 1.1)])
    def test_out_of_range_argument(self, option: str, value: float) -> None:
        with pytest.raises(ValueError, match=f"`{option}`"):
            Distill(**{option: value})  # type: ignore[arg-type]

    def test_training_requires_a_teacher(self, step: Step, batch: dict[str, Tensor]) -> None:
        with pytest.raises(UserError, match=r"Distill\(teachers="):
            Distill()(batch, step)


def test_description_does_not_depend_on_teachers() -> None:
    assert describe_method(Distill()) == describe_method(Distill([nn.Linear(2, 2)]))
