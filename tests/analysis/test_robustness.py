"""The robustness card on faces with known labels and models with known faults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mfer_lightning.analysis.consistency import batch_invariance, batch_statistics, flip_consistency
from mfer_lightning.analysis.forward_passes import Passes
from mfer_lightning.analysis.model_on_split import ModelOnSplit, choose_faces
from mfer_lightning.analysis.robustness_card import Condition, conditions, measure_robustness
from mfer_lightning.analysis.severities import CORRUPTIONS, MISALIGNMENTS, TABLES
from mfer_lightning.data.datasets import FacsDataModule
from mfer_lightning.data.labels.face_lists import FaceList
from mfer_lightning.inference.match_classes import match_classes
from mfer_lightning.inference.model import FERModel
from mfer_lightning.nn import Preprocess

TRAIN, TEST, SIDE = 900, 320, 32


class Linear(nn.Module):
    """A linear classifier of pixels with weights from a closed form; faults can be added.

    Args:
        weight: (3*S*S+1, K).
        spoil: an additional function applied to the pixels.
        symmetric: whether it treats a face and its mirror image equally.
    """

    def __init__(self, weight: Tensor, spoil: nn.Module | None = None, symmetric: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.spoil = spoil or nn.Identity()
        self.symmetric = symmetric
        self.backbone = SimpleNamespace(stages=())

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        pixels = self.spoil(pixels)
        if self.symmetric:
            pixels = (pixels + pixels.flip(-1)) / 2
        logits = pixels.flatten(1) @ self.weight[:-1] + self.weight[-1]
        return {"logits": logits, "feature": logits}


@pytest.fixture(scope="module")
def easy(tmp_path_factory: pytest.TempPathFactory) -> FacsDataModule:
    """Easy faces: frontal, evenly lit, not occluded."""
    datamodule = FacsDataModule(
        train_size=TRAIN,
        val_size=8,
        test_size=TEST,
        size=SIDE,
        difficulty=0.0,
        ambiguity=0.0,
        occlusion=0.0,
        augment="none",
        batch_size=64,
        cache_dir=tmp_path_factory.mktemp("faces"),
    )
    datamodule.setup("fit")
    return datamodule


@pytest.fixture(scope="module")
def weight(easy: FacsDataModule) -> Tensor:
    """Ridge regression of the classes on the pixels."""
    parts = list(easy.predict_dataloader("train"))
    preprocess = Preprocess(size=SIDE, mean="half", std="half")
    x = torch.cat([preprocess(p["image"]).flatten(1) for p in parts]).double()
    x = torch.cat([x, torch.ones(len(x), 1, dtype=torch.float64)], dim=1)
    y = torch.eye(8, dtype=torch.float64)[torch.cat([p["label"] for p in parts])] - 1 / 8
    gram = x @ x.T + 300 * torch.eye(len(x), dtype=torch.float64)
    return (x.T @ torch.linalg.solve(gram, y)).float()


Make = Callable[..., Passes]


@pytest.fixture(scope="module")
def make(easy: FacsDataModule, weight: Tensor) -> Make:
    def _make(
        folder: Path | None = None, limit: int | None = None, definition: str = "", progress: Any = None, **options: Any
    ) -> Passes:
        network = Linear(weight, **options)
        model = FERModel(network, Preprocess(size=SIDE, mean="half", std="half"), easy.class_names)  # type: ignore[arg-type]
        match = match_classes(easy.class_names, easy.class_names)
        subject = ModelOnSplit(model, easy, "test", match, choose_faces(easy, "test", match, limit))
        return Passes(subject, folder, definition, progress)

    return _make


@pytest.fixture(scope="module")
def card(make: Make) -> dict[str, Any]:
    return measure_robustness(make(), conditions(SIDE))


def test_test_model_is_better_than_chance(card: dict[str, Any]) -> None:
    assert card["n"] == TEST
    assert card["clean"]["accuracy"] > 0.45  # chance is 0.125
    assert card["clean"]["low"] < card["clean"]["accuracy"] < card["clean"]["high"]


def test_every_change_has_its_curve(card: dict[str, Any]) -> None:
    assert tuple(card["curves"]) == (*CORRUPTIONS, "resolution", *MISALIGNMENTS)
    for kind, curve in card["curves"].items():
        points = curve["points"]
        assert [p["severity"] for p in points] == list(range(1, len(points) + 1))
        assert len(points) == (2 if kind == "resolution" else 5)
        for p in points:
            assert p["low"] <= p["accuracy"] <= p["high"]
            assert p["drop"] == pytest.approx(card["clean"]["accuracy"] - p["accuracy"])
            assert p["drop_low"] <= p["drop"] <= p["drop_high"]


def test_stronger_changes_do_not_improve_accuracy_beyond_chance(card: dict[str, Any]) -> None:
    """No curve rises by more than the noise of a paired difference (three standard errors)."""
    most = 3 * np.sqrt(0.25 / TEST)
    for kind, curve in card["curves"].items():
        accuracies = [card["clean"]["accuracy"], *(p["accuracy"] for p in curve["points"])]
        assert max(np.diff(accuracies)) <= most, (kind, accuracies)
        assert accuracies[-1] <= accuracies[0] + most, (kind, accuracies)


@pytest.mark.parametrize("kind", ["motion_blur", "zoom_blur", "contrast", *MISALIGNMENTS])
def test_moving_or_hiding_the_features_lowers_accuracy(kind: str, card: dict[str, Any]) -> None:
    worst = card["curves"][kind]["points"][-1]
    assert worst["drop_low"] > 0
    assert worst["drop"] > 0.05


def test_means_match_the_curves(card: dict[str, Any]) -> None:
    accuracies = [p["accuracy"] for kind in CORRUPTIONS for p in card["curves"][kind]["points"]]
    found = card["summary"]["corruptions"]
    assert found["accuracy"]["value"] == pytest.approx(np.mean(accuracies))
    assert found["relative"]["value"] == pytest.approx(np.mean(accuracies) / card["clean"]["accuracy"])
    assert found["whole"]
    assert list(card["summary"]) == ["corruptions", "resolution", "misalignments"]


def test_neutral_change_gives_exactly_the_clean_accuracy(make: Make) -> None:
    neutral = {"gaussian_noise": 0.0, "defocus_blur": 0.0, "contrast": 1.0, "resolution": SIDE, "shift": 0.0}
    wanted = [Condition(kind, "crop", 1, amount, "") for kind, amount in neutral.items()]
    found = measure_robustness(make(limit=80), wanted, check_batches=False)
    for curve in found["curves"].values():
        point = curve["points"][0]
        assert {k: point[k] for k in found["clean"]} == found["clean"]
        assert point["drop"] == 0
    assert not found["summary"]["corruptions"]["whole"]
    assert found["summary"]["corruptions"]["relative"]["value"] == 1


def test_same_suite_gives_the_same_card(make: Make) -> None:
    wanted = conditions(SIDE, ["gaussian_noise", "shift"])
    assert measure_robustness(make(limit=60), wanted) == measure_robustness(make(limit=60), wanted)


def test_symmetric_model_is_more_consistent_under_flip(make: Make) -> None:
    even, odd = flip_consistency(make(limit=160, symmetric=True)), flip_consistency(make(limit=160))
    assert even["equal"] == 1
    assert even["total_variation"] < 1e-6
    assert odd["equal"] < 1
    assert 0 < odd["total_variation"] < 1


def test_batch_independent_model_passes_the_batch_check(card: dict[str, Any]) -> None:
    assert card["batch"]["passes"]
    assert card["batch"]["shuffled"]["n"] == TEST
    assert card["batch"]["alone"]["n"] == 64
    assert card["batch"]["suspects"] == []


def test_model_using_batch_statistics_fails_the_batch_check(make: Make) -> None:
    passes = make(limit=120, spoil=nn.BatchNorm2d(3, track_running_stats=False))
    found = batch_invariance(passes)
    assert not found["passes"]
    assert found["alone"]["largest_difference"] > 0.01
    assert found["suspects"] == ["spoil"]
    assert batch_statistics(nn.Sequential(nn.BatchNorm2d(3), nn.InstanceNorm2d(3)).eval()) == []


def test_interrupted_suite_resumes_to_the_same_card(make: Make, tmp_path: Path) -> None:
    wanted = conditions(SIDE, ["contrast", "jpeg"])
    folder = tmp_path / "unfinished"
    whole = measure_robustness(make(limit=60), wanted)

    def stop(name: str, _: int) -> None:
        if name == "jpeg-2":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_robustness(make(folder, limit=60, progress=stop), wanted)
    assert len(list(folder.glob("*.npy"))) == 7  # clean, five contrasts, one JPEG
    (folder / "contrast-2.npy").write_bytes(b"cut off")
    again = make(folder, limit=60)
    assert measure_robustness(again, wanted) == whole
    assert again.reused >= 6
    other = make(folder, limit=60, symmetric=True, definition="another")
    assert not list(folder.glob("*.npy"))  # other options: kept passes cannot be used
    other.finish()
    assert not folder.exists()


def test_different_weights_or_faces_have_another_identity(make: Make) -> None:
    identities = {make().subject.identity(), make(limit=60).subject.identity()}
    moved = make()
    moved.subject.model.network.weight[0] += 1  # type: ignore[index]
    identities.add(moved.subject.identity())
    assert len(identities) == 3
    moved.subject.model.network.weight[0] -= 1  # type: ignore[index]


def test_limit_is_stratified_by_class(make: Make) -> None:
    faces = make(limit=80).subject
    counts = np.bincount(faces.label, minlength=8)
    assert counts.sum() == pytest.approx(80, abs=4)
    assert np.ptp(counts) <= 1
    assert (np.diff(faces.rows) > 0).all()


def test_list_is_compared_with_the_remaining_faces(make: Make) -> None:
    passes = make(limit=80)
    label = passes.subject.label
    right = passes.logits("clean").argmax(axis=1) == label
    wrong_rows = passes.subject.rows[~right]
    found = measure_robustness(
        passes, [], [FaceList("hard", len(wrong_rows), 0, wrong_rows, (), ())], check_batches=False
    )["lists"]["hard"]
    assert found["subset"]["accuracy"] == 0
    assert found["subset"]["n"] == len(wrong_rows)
    assert found["rest"]["accuracy"] == 1
    every = FaceList("every", len(label), 0, passes.subject.rows, (), ())
    assert measure_robustness(passes, [], [every], check_batches=False)["lists"]["every"]["rest"] is None


def test_unknown_kinds_are_named() -> None:
    with pytest.raises(ValueError, match="`kinds`"):
        conditions(48, ["fog"])
    assert conditions(16, ["resolution"]) == []
    assert {c.kind for c in conditions(224)} == {*TABLES, "resolution"}
