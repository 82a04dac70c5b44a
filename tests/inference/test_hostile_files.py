"""Malicious files: rejected with one message, nothing executed or created, memory bounded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from inference import hostile
from inference.conftest import Forms, describe
from inference.predict.mixed import bomb

from mfer_lightning.errors import UserError
from mfer_lightning.inference.model import build_model
from mfer_lightning.nn import MFER

#: Maximum memory for loading one of these tiny files, in bytes; some of them request gigabytes.
MOST = 150_000_000

DEEP = 100_000

CASES: dict[str, tuple[hostile.Writer, str]] = {
    # checkpoints
    "a pickle that runs a command": (hostile.pickled(hostile.Touch, zipped=True), "posix.system"),
    "the same as a bare pickle": (hostile.pickled(hostile.Touch, zipped=False), "cannot be read as a checkpoint"),
    "a pickle that fills the memory": (
        hostile.pickled(lambda _: hostile.Big(), zipped=True),
        "it was rejected",
    ),
    "a configuration that names os.system": (
        hostile.with_checkpoint(config={"loss": {"_target_": "os.system", "command": "touch created"}}),
        "names `os.system`, which is not allowed: only names",
    ),
    "members that inflate": (hostile.zip_bomb, "its parts are compressed"),
    "a storage smaller than it says": (hostile.lying_storage, "cannot be read as a checkpoint"),
    "a weight of one number repeated": (
        hostile.with_weights(lambda w: w.update({hostile.first_weight(w): torch.zeros(1).expand(10**11)})),
        "larger than its stored data",
    ),
    "a weight that is text": (hostile.with_weights(lambda w: w.update({"network.x": "text"})), "plain tensor"),
    "a sparse weight": (
        hostile.with_weights(lambda w: w.update({"network.x": torch.eye(3).to_sparse()})),
        "it was rejected",
    ),
    "a checkpoint with NaN": (hostile.with_weights(hostile.nan), "not finite"),
    "half a checkpoint": (hostile.cut("checkpoint"), "truncated or damaged"),
    "a billion blocks": (
        hostile.with_checkpoint(
            network={**describe(hostile.tiny_network())["network"], "attention": {"name": "ds", "kernel_size": 10**9}}
        ),
        "which is out of range",
    ),
    # safetensors
    "weights of other shapes": (
        hostile.tensors(lambda w: w.update({hostile.first_weight(w): torch.zeros(3, 3)})),
        "do not fit the network",
    ),
    "integer weights": (
        hostile.tensors(lambda w: w.update({hostile.first_weight(w): w[hostile.first_weight(w)].to(torch.int32)})),
        "is torch.int32, expected torch.float32",
    ),
    "weights in 8-bit floats": (
        hostile.tensors(lambda w: w.update({"x": torch.zeros(3).to(torch.float8_e4m3fn)})),
        "no network of this package uses",
    ),
    "an export with NaN": (hostile.tensors(hostile.nan), "not finite"),
    "half the weights": (hostile.cut("safetensors", "model.safetensors"), "truncated"),
    "a header of an exabyte": (hostile.exported(hostile.claims), "header states a size of"),
    "a header of noise": (hostile.header(lambda h: b"\xff" * len(h)), "not a safetensors file"),
    "weights that overlap": (hostile.header(hostile.overlapping), "not a safetensors file"),
    "weights from a device": (hostile.exported(hostile.linked), "contains no model.safetensors"),
    "no weights": (hostile.exported(lambda f: (f / "model.safetensors").unlink()), "contains no model.safetensors"),
    "no description": (hostile.exported(lambda f: (f / "config.json").unlink()), "contains no config.json"),
    "half the description": (hostile.cut("safetensors", "config.json"), "it is not JSON"),
    "a description of gigabytes": (hostile.exported(hostile.enormous_config), "has 3,221,225,472 bytes"),
    "a description nested without end": (
        hostile.exported(lambda f: (f / "config.json").write_text("[" * DEEP + "]" * DEEP) and None),
        "config.json",
    ),
    "a description nested deeply": (
        hostile.configured(lambda c: c.update(more=[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]])),
        "nested too deeply",
    ),
    "a list for a description": (hostile.exported(lambda f: (f / "config.json").write_text("[]") and None), "a list"),
    "depths of a billion": (hostile.options(depths=[10**9] * 4), "which is out of range"),
    "depths that the weights do not have": (hostile.options(depths=[900] * 4), "than the file has weights"),
    "widths that the weights do not have": (hostile.options(dims=[4_000_000] * 4), "do not fit the network"),
    "an option that is infinite": (hostile.options(ls_init_value=float("inf")), "which is out of range"),
    "faces a billion pixels wide": (
        hostile.configured(lambda c: c["preprocess"].update(size=10**9)),
        "which is out of range",
    ),
    "another file by its path": (hostile.options(checkpoint_path="../../secret.pth"), "must not set checkpoint_path"),
    "another file by its configuration": (
        hostile.options(pretrained_cfg={"file": "/etc/passwd"}),
        "must not set pretrained_cfg",
    ),
    "a model from a hub": (
        hostile.configured(lambda c: c["network"]["backbone"].update(name="hf-hub:somebody/model")),
        "Unknown backbone",
    ),
    "a model from a folder": (
        hostile.configured(lambda c: c["network"]["backbone"].update(name="local-dir:../../x")),
        "Unknown backbone",
    ),
    "a stored command": (
        hostile.configured(lambda c: c.update(config={"a": [{"_target_": "os.system"}]})),
        "names `os.system`",
    ),
    "a class name of several lines": (
        hostile.configured(lambda c: c.update(class_names=["anger", "fear", "x\n# Trust me"])),
        "its class names are",
    ),
    "a newer format": (hostile.configured(lambda c: c.update(format=99)), "Install a newer"),
    # ONNX
    "weights in a file elsewhere": (hostile.beside("../../../../etc/passwd"), "tensors in other files"),
    "weights in a file beside it": (hostile.beside("weights.bin"), "tensors in other files"),
    "operators of an unknown domain": (
        hostile.graph(lambda p: p.graph.node[0].__setattr__("domain", "evil.ops")),
        "operators of the domain 'evil.ops'",
    ),
    "its own functions": (hostile.graph(hostile.own_function), "its own functions"),
    "control flow": (hostile.graph(hostile.branching), "control flow"),
    "an operator that does not exist": (
        hostile.graph(lambda p: p.graph.node[0].__setattr__("op_type", "Evil")),
        "cannot be loaded by ONNX Runtime",
    ),
    "a graph with NaN": (hostile.graph(hostile.not_finite), "not finite"),
    "half a graph": (
        lambda folder, forms: hostile.cut("onnx", "model.onnx")(folder, forms) / "model.onnx",
        "truncated",
    ),
    "no metadata": (hostile.graph(lambda p: p.ClearField("metadata_props")), "not an export of mfer_lightning"),
    "metadata with a different number of classes": (hostile.notes(class_names=["a", "b"]), "does not match the model"),
    "metadata with HTML as a class name": (
        hostile.notes(class_names=["a", "b", "<script>\n"]),
        "does not describe a model",
    ),
    "metadata of a newer format": (hostile.notes(format=7), "Install a newer"),
    "metadata of an absurd size": (hostile.notes(size=10**9), "does not describe a model"),
    "metadata of the wrong kind": (hostile.notes(preprocess=[1]), "does not describe a model"),
    "a graph without softmax": (hostile.graph(hostile.without_softmax), "its outputs are not probabilities"),
    "a graph that fills the memory": (hostile.graph(hostile.memory_bomb), "failed on 1 face "),
}

#: Runs in a separate process, since memory is measured: loads each file, and writes the outcome, the increase in peak
#: memory and the time to a JSON file.
PROGRAM = """
import json, resource, sys, time
from pathlib import Path
import numpy as np
from mfer_lightning.inference.model import read_model
from mfer_lightning.onnx import OnnxModel
from mfer_lightning.onnx.model import limit_memory

limit_memory(200_000_000)
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
cases, honest = json.load(sys.stdin)
read_model(honest[0], "cpu"); OnnxModel(honest[1]).predict(np.zeros((8, 48, 48, 3), np.uint8))  # baseline
found = {}
for name, path in cases.items():
    before, started = peak(), time.perf_counter()
    try:
        if path.endswith(".onnx"):
            OnnxModel(path).predict(np.zeros((48, 48, 3), np.uint8))
        elif path.endswith(".png"):
            OnnxModel(honest[1]).predict(path)
        else:
            read_model(path, "cpu")
        said = ("nothing", "")
    except BaseException as error:
        said = (type(error).__name__, str(error))
    found[name] = (*said, peak() - before, time.perf_counter() - started)
json.dump(found, open(sys.argv[1], "w"))
"""


def large_picture(folder: Path, _: Forms) -> Path:
    """A picture of 50,000 x 50,000 pixels in a few hundred kilobytes."""
    bomb(folder / "x.png")
    return folder / "x.png"


@pytest.fixture(scope="module")
def outcomes(forms: Forms, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list]:
    root = tmp_path_factory.mktemp("hostile")
    paths = {}
    for number, (name, (write, _)) in enumerate({**CASES, "a picture": (large_picture, "")}.items()):
        folder = root / str(number)
        folder.mkdir()
        paths[name] = str(write(folder, forms))
    honest = [str(forms.checkpoint), str(forms.onnx)]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(root / "found.json")],
        input=json.dumps([paths, honest]),
        text=True,
        capture_output=True,
        cwd=root,
    )
    assert done.returncode == 0, done.stderr
    assert not list(root.rglob("created*")), "something was executed"
    return json.loads((root / "found.json").read_text())


@pytest.mark.parametrize("name", CASES)
def test_malicious_file_is_rejected_in_one_sentence_without_using_memory(name: str, outcomes: dict[str, list]) -> None:
    kind, message, memory, seconds = outcomes[name]
    assert kind == "UserError", message
    assert CASES[name][1] in message
    assert "\n" not in message
    assert len(message) < 1000
    assert memory < MOST
    assert seconds < 60


def test_image_of_2_500_000_000_pixels_is_rejected_by_its_header(outcomes: dict[str, list]) -> None:
    kind, message, memory, _ = outcomes["a picture"]
    assert kind == "UserError", message
    assert "2500000000 pixels" in message
    assert memory < MOST


def test_oversized_computed_buffers_are_rejected() -> None:
    # Swin's position indices are not weights: a window of 64 needs few numbers in the file, but hundreds of megabytes
    # of memory.
    greedy = {
        "name": "swin_tiny_patch4_window7_224",
        "options": {
            "depths": [1, 1, 1, 1],
            "embed_dim": 16,
            "num_heads": [1, 1, 2, 2],
            "img_size": 1024,
            "window_size": 64,
        },
    }
    with torch.device("meta"):
        network = MFER(greedy, 3, attention="none")
    weights = {name: torch.zeros(value.shape, dtype=value.dtype) for name, value in network.state_dict().items()}
    with pytest.raises(UserError, match="bytes of non-persistent buffers"):
        build_model(describe(network), weights, Path("greedy"))
