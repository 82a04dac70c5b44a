"""The channel order follows the weights, must be given if unknown, and is stored with the model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from commands.conftest import FEW, Mfer, only_run
from config.test_compose import composed
from nn import face_files as files
from PIL import Image

from mfer_lightning.config.compose import compose_train
from mfer_lightning.errors import UserError
from mfer_lightning.inference.checkpoint import read_checkpoint
from mfer_lightning.nn import MFER
from mfer_lightning.sweeps.identity import config_hash
from mfer_lightning.training.build import assemble
from mfer_lightning.training.checks.values import check_values
from mfer_lightning.training.initial_weights import load_initial_weights

#: Sixteen channels: below that, torch 2.14's 1x1 convolutions of stride 2 crash in channels_last memory on the CPU.
SHAPE = {"depths": [1, 1, 1, 1], "widths": [16, 16, 16, 16]}
NAMES = ("angry", "happy", "sad")
SHAPES = {
    "ir50_adaface": files.ir(True, False, *SHAPE.values()),
    "ir50_evolve": files.ir(False, True, *SHAPE.values()),
    "mobilefacenet": files.mobilefacenet(128),
}


@pytest.fixture(scope="module")
def config() -> dict:
    return composed()


def load(config: dict, tmp_path: Path, name: str, colour: str | None = None) -> tuple[str, str]:
    """Load a network's weights from a file; return the channel order and the path."""
    path = tmp_path / f"{name}.pth"
    torch.save(files.random_file(SHAPES[name]), path)
    options = {} if name == "mobilefacenet" else SHAPE
    network = MFER({"name": name, "options": options}, 3, attention="none")
    preprocess = {**config["preprocess"], "colour": colour}
    return load_initial_weights({**config, "weights": str(path), "preprocess": preprocess}, network, NAMES), str(path)


@pytest.mark.parametrize(("name", "colour"), [("ir50_adaface", "BGR"), ("ir50_evolve", "RGB")])
def test_family_with_one_convention_sets_the_channel_order(config, tmp_path, capsys, name, colour):
    assert load(config, tmp_path, name)[0] == colour
    assert "new: final norm, head; 7 left out: " in capsys.readouterr().out or name == "ir50_adaface"


def test_ambiguous_channel_order_must_be_given(config, tmp_path):
    with pytest.raises(UserError, match=r"the MobileFaceNet layout.*weights\.colour=rgb or weights\.colour=bgr"):
        load(config, tmp_path, "mobilefacenet")
    assert load(config, tmp_path, "mobilefacenet", "BGR")[0] == "BGR"


def test_explicit_channel_order_takes_precedence_with_a_note(config, tmp_path, capsys):
    assert load(config, tmp_path, "ir50_adaface", "RGB")[0] == "RGB"
    assert "trained on BGR; preprocess.colour=RGB is used" in capsys.readouterr().out


def test_weights_colour_is_an_option_and_null_keeps_the_run_name(config):
    composed_config = compose_train(["weights.colour=bgr", "weights=face.pth", "backbone=ir50"])
    assert composed_config["preprocess"]["colour"] == "BGR"
    assert composed_config["weights"] == "face.pth"
    assert (composed_config["backbone"]["name"], composed_config["preprocess"]["size"]) == ("ir50_evolve", 64)  # facs
    assert compose_train(["backbone=ir50", "dataset=rafdb"])["preprocess"]["size"] == 112
    without = {**config, "preprocess": {k: v for k, v in config["preprocess"].items() if k != "colour"}}
    assert config_hash(config) == config_hash(without)


@pytest.mark.parametrize("value", ["gbr", "grey", "7", ""])
def test_invalid_channel_order_lists_the_valid_ones(value):
    config = compose_train([f"weights.colour={value}"])
    with pytest.raises(UserError) as refusal:
        check_values(config)
    said = str(refusal.value)
    assert said.startswith(f"preprocess.colour={value.upper()}: the value must be RGB or BGR, the channel order")
    assert "weights.colour=" in said


def test_channel_order_of_own_checkpoints_is_kept(config, tmp_path):
    network = MFER({"name": "ir50_adaface", "options": SHAPE}, 3, attention="none")
    chosen = {**config, "preprocess": {**config["preprocess"], "colour": "BGR"}}
    module = assemble(chosen, network, NAMES, (1, 1, 1))
    checkpoint = {"state_dict": module.state_dict()}
    module.on_save_checkpoint(checkpoint)
    assert checkpoint["mfer"]["preprocess"]["colour"] == "BGR"
    torch.save({key: checkpoint[key] for key in ("state_dict", "mfer")}, tmp_path / "best.ckpt")
    again = {**config, "weights": str(tmp_path / "best.ckpt")}
    assert load_initial_weights(again, network, NAMES) == "BGR"


NETWORKS = {
    "mobilefacenet": ("{depths:[1,1,1]}", files.mobilefacenet(), "BGR"),
    "iresnet50": ("{depths:[1,1,1,1],widths:[16,16,16,16]}", files.insightface(*SHAPE.values()), "RGB"),
    "iresnet100": ("{depths:[1,1,1,1],widths:[16,16,16,16]}", files.insightface(*SHAPE.values()), "RGB"),
    "ir50_evolve": ("{depths:[1,1,1,1],widths:[16,16,16,16]}", SHAPES["ir50_evolve"], "RGB"),
    "ir50_adaface": ("{depths:[1,1,1,1],widths:[16,16,16,16]}", SHAPES["ir50_adaface"], "BGR"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", list(NETWORKS))
def test_face_network_trains_from_its_file_exports_and_predicts(mfer: Mfer, tmp_path, capsys, name):
    options, shapes, colour = NETWORKS[name]
    ours = [o for o in FEW if not o.startswith("backbone.")] + [f"backbone={name}", f"backbone.options={options}"]
    kept = files.random_file(shapes)
    if name == "mobilefacenet":  # the network has fewer units than the original file
        kept = {key: t for key, t in kept.items() if ".model." not in key or ".model.0." in key}
    torch.save({"state_dict": kept}, tmp_path / "face.pth")
    extra = ["optimizer.layer_decay=0.8", "trainer.checkpointing=true", "freeze=backbone", "freeze.epochs=1"]
    command = [*ours, *extra, "weights=face.pth", "preprocess.size=112", "trainer.max_epochs=2"]
    if name == "mobilefacenet":
        assert mfer(*command) == 2
        assert "weights.colour=rgb or weights.colour=bgr" in capsys.readouterr().err
        command.append("weights.colour=bgr")
    assert mfer(*command) == 0
    run = only_run(tmp_path / "runs") if name != "mobilefacenet" else max((tmp_path / "runs").iterdir())
    assert "weights: " in (out := capsys.readouterr().out)
    assert " new: attention, final norm, head; " in out
    log = (run / "log.txt").read_text()
    assert "\nloaded backbone.model." in log
    assert "\nleft out " in log
    checkpoint = run / "checkpoints" / "best.ckpt"
    stored = read_checkpoint(checkpoint)["mfer"]["preprocess"]
    assert (stored["colour"], stored["size"], stored["mean"]) == (colour, 112, [0.5, 0.5, 0.5])
    assert mfer("export", f"checkpoint={run}", "format=onnx", "faces=8") == 0  # checks against the checkpoint
    Image.fromarray(np.full((112, 112, 3), 90, np.uint8)).save("face.png")
    assert mfer("predict", f"checkpoint={run}", "source=face.png", "aligned=true", "output=said") == 0
    assert "face.png" in (tmp_path / "said" / "predictions.csv").read_text()
    assert mfer("evaluate", f"checkpoint={run}", "split=test") == 0


def test_second_of_two_networks_has_its_own_head(config, tmp_path):
    source, first, second = (MFER({"name": "ir50_evolve", "options": SHAPE}, 3, attention="none") for _ in range(3))
    torch.save(source.state_dict(), tmp_path / "whole.pth")
    changed = {
        **config,
        "weights": str(tmp_path / "whole.pth"),
        "preprocess": {**config["preprocess"], "colour": "RGB"},
    }
    load_initial_weights(changed, first, NAMES)
    load_initial_weights(changed, second, NAMES, new_heads=True)
    own = [name for name, value in first.state_dict().items() if not torch.equal(value, second.state_dict()[name])]
    assert own
    assert all(name.startswith("head.") for name in own)
