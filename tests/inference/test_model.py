"""Loading a trained model: outputs and rejected files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mfer_lightning.errors import UserError
from mfer_lightning.inference.checkpoint import checkpoint_path, run_folder
from mfer_lightning.inference.model import build_model, read_model
from mfer_lightning.nn import MFER, Preprocess
from mfer_lightning.views import Views

NAMES = ("anger", "fear", "happiness")
TINY = {"name": "convnext_atto", "options": {"depths": [1, 1, 1, 1], "dims": [8, 16, 16, 32]}}
SWIN = {
    "name": "swin_tiny_patch4_window7_224",
    "options": {"depths": [1, 1, 1, 1], "embed_dim": 16, "num_heads": [1, 1, 2, 2], "img_size": 64, "window_size": 2},
}


@pytest.fixture
def faces() -> torch.Tensor:
    return torch.randint(0, 256, (5, 3, 48, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def describe(own: MFER, /, **changes: Any) -> dict[str, Any]:
    return {
        "format": 1,
        "class_names": list(NAMES),
        "network": own.config,
        "preprocess": Preprocess(size=64, mean="half", std="half").to_config(),
        "protocol": "facs@native",
        **changes,
    }


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    def _save(own: MFER, /, run: str = "run", name: str = "best.ckpt", **changes: Any) -> Path:
        path = tmp_path / run / "checkpoints" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        weights = {f"network.{k}": v for k, v in own.state_dict().items()}
        weights["objective.feature.centers"] = torch.zeros(3, 32)
        torch.save({"state_dict": weights, "mfer": describe(own, **changes)}, path)
        return path

    return _save


@pytest.mark.parametrize("backbone", [TINY, SWIN], ids=["convnext", "swin, whose buffers no checkpoint holds"])
def test_loaded_model_matches_the_network(backbone: dict, save: Callable[..., Path], faces: torch.Tensor) -> None:
    network = MFER(backbone, 3).eval()
    model = read_model(save(network), device="cpu")
    expected = network(Preprocess(size=64, mean="half", std="half")(faces))
    found = model(faces)
    torch.testing.assert_close(found["logits"], expected["logits"].detach())
    torch.testing.assert_close(found["feature"], expected["feature"].detach())
    assert model.class_names == NAMES
    assert model.metadata["protocol"] == "facs@native"


def test_flip_averages_a_face_and_its_mirror_image(save: Callable[..., Path], faces: torch.Tensor) -> None:
    model = read_model(save(MFER(TINY, 3)), device="cpu")
    expected = (model(faces)["logits"] + model(faces.flip(-1))["logits"]) / 2
    torch.testing.assert_close(model(faces, views=Views(flip=True))["logits"], expected)
    torch.testing.assert_close(model(faces.flip(-1), views=Views(flip=True))["logits"], expected)


def test_shift_averages_a_face_and_four_shifted_copies(save: Callable[..., Path], faces: torch.Tensor) -> None:
    model, views = read_model(save(MFER(TINY, 3)), device="cpu"), Views(shift=0.05)
    expected = torch.stack([model(view)["logits"] for view in views.of(faces)])
    torch.testing.assert_close(model(faces, views=views)["logits"], expected.mean(0))
    assert (expected[1:] != expected[0]).any(), "the copies must differ from the face"


def test_loaded_model_cannot_be_set_to_training_mode(save: Callable[..., Path]) -> None:
    with pytest.raises(UserError, match="weights=<checkpoint>"):
        read_model(save(MFER(TINY, 3)), device="cpu").train()


@pytest.mark.parametrize("exported", [False, True], ids=["checkpoint", "export"])
def test_model_is_built_on_its_device_in_any_context(exported: bool, save: Callable[..., Path], tmp_path: Path) -> None:
    path = save(MFER(TINY, 3))
    expected = read_model(path, "cpu")
    where = expected.save_pretrained(tmp_path / "export") if exported else path
    with torch.device("meta"):
        model = read_model(where, "cpu")
    assert {part.device.type for part in (*model.parameters(), *model.buffers())} == {"cpu"}
    face = torch.full((1, 3, 64, 64), 90, dtype=torch.uint8)
    assert torch.equal(model(face)["logits"], expected(face)["logits"])


def test_run_folder_resolves_to_its_selected_checkpoint(save: Callable[..., Path]) -> None:
    network = MFER(TINY, 3)
    best, last = save(network), save(network, name="last.ckpt")
    run = best.parent.parent
    assert checkpoint_path(run) == checkpoint_path(best.parent) == best
    (run / "result.json").write_text('{"selection": {"split": null}}')
    assert checkpoint_path(run) == last
    assert run_folder(best) is None
    (run / "config.yaml").touch()
    assert run_folder(best) == run


def test_folder_of_runs_is_not_a_run(save: Callable[..., Path], tmp_path: Path) -> None:
    save(MFER(TINY, 3), run="facs-ce")
    with pytest.raises(UserError, match="It contains the runs facs-ce"):
        checkpoint_path(tmp_path)
    with pytest.raises(UserError, match="There is no"):
        checkpoint_path(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config": {"loss": {"_target_": "os.system"}}}, "names `os.system`, which is not allowed: only names"),
        (
            {"config": {"a": [{"b": {"_target_": "subprocess.run"}}]}},
            "names `subprocess.run`, which is not allowed: only names",
        ),
        ({"format": 99}, "Install a newer mfer_lightning"),
        ({"format": "1"}, "Install a newer mfer_lightning"),
        ({"class_names": ["anger"]}, "1 class name, but its network is"),
        (
            {"shift": "wide"},
            r"cannot be used: .*`shift` to be a number within \[0, 0.25\], but got 'wide'",
        ),
        ({"class_names": "abc"}, "its class names are 'abc'"),
        ({"network": None}, "does not describe a model"),
        ({"network": {"num_classes": 3, "backbone": "hf-hub:evil/model"}}, "Unknown backbone"),
        ({"network": {"num_classes": 3, "backbone": "resnet18", "nonsense": 1}}, "cannot be used"),
        ({"preprocess": {"size": -1}}, "`size` to be a positive integer"),
        ({"preprocess": {"command": "rm"}}, "has no option 'command'"),
    ],
)
def test_checkpoint_without_model_description_is_rejected(
    changes: dict, message: str, save: Callable[..., Path]
) -> None:
    path = save(MFER(TINY, 3), **changes)
    with pytest.raises(UserError, match=message):
        read_model(path)


def test_checkpoint_cannot_allocate_more_memory_than_its_size() -> None:
    network = MFER(TINY, 3)
    greedy = {**network.config, "backbone": {"name": "convnext_atto", "options": {"dims": [4_000_000] * 4}}}
    with pytest.raises(UserError, match=r"weights do not fit .* and \d+ more"):
        build_model(describe(network, network=greedy), network.state_dict(), Path("greedy.ckpt"))


def test_missing_and_unexpected_weights_are_named() -> None:
    network = MFER(TINY, 3)
    weights = dict(network.state_dict())
    name = next(iter(weights))
    weights["extra"] = weights.pop(name)
    with pytest.raises(UserError, match=f"{name} is missing; extra is not in the network"):
        build_model(describe(network), weights, Path("x.ckpt"))


def test_unknown_device_raises_one_clear_error(save: Callable[..., Path]) -> None:
    with pytest.raises(UserError, match="Try device=cpu"):
        read_model(save(MFER(TINY, 3)), device="tpu9")
