"""The real command line trains with LoRA, continues such a run, and uses its checkpoint."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from commands.conftest import FEW, Mfer, only_run

from mfer_lightning.checkpoints.read import read_checkpoint
from mfer_lightning.inference.model import read_model
from mfer_lightning.onnx import OnnxModel

VIT = (
    *(option for option in FEW if not option.startswith("backbone.")),
    "backbone.name=vit_tiny_patch16_224",
    "backbone.options={depth:4,embed_dim:24,num_heads:2}",
    "adapter=lora",
    "adapter.rank=2",
)


@pytest.mark.slow
def test_adapter_run_trains_resumes_evaluates_and_exports(mfer: Mfer, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("peft", reason="pip install 'mfer_lightning[lora]'")
    assert mfer(*VIT) == 0
    said = capsys.readouterr().out
    assert "Note: adapter=lora keeps the backbone's weights, which are random with weights=none." in said
    assert "lora of rank 2: 0.0" in said
    run = only_run(Path("runs"))
    first = json.loads((run / "result.json").read_text())
    stored = read_checkpoint(run / "checkpoints" / "best.ckpt")["state_dict"]
    assert any(".lora_A." in name for name in stored)
    assert not any(".lora_" in name for name in read_model(run).network.state_dict())

    (run / "result.json").unlink()  # as if it had been killed before it was evaluated
    assert mfer(*VIT) == 0
    again = json.loads((run / "result.json").read_text())
    assert again["metrics"] == first["metrics"]

    assert mfer("evaluate", f"checkpoint={run}", "split=test", "output=table") == 0
    found = json.loads(Path("table/result.json").read_text())
    assert found["metrics"]["nll"] == pytest.approx(first["metrics"]["nll"], abs=1e-5)
    assert mfer("export", f"checkpoint={run}", "output=exported") == 0
    faces = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    expected = read_model(run)(faces)
    assert torch.equal(read_model("exported")(faces)["logits"], expected["logits"])
    assert mfer("export", f"checkpoint={run}", "format=onnx", "output=onnx") == 0
    found = OnnxModel("onnx").predict(faces.permute(0, 2, 3, 1).numpy())
    assert found.probabilities == pytest.approx(expected["logits"].softmax(1).numpy(), abs=1e-4)


@pytest.mark.slow
def test_adapter_run_compiles_blocks(mfer: Mfer, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("peft", reason="pip install 'mfer_lightning[lora]'")
    assert mfer(*VIT, "trainer.compile=blocks", "trainer.max_epochs=1") == 0
    said = capsys.readouterr()
    assert "Compiling 2 kinds of blocks in the first steps" in said.out
    assert "torch.compile does not work here" not in said.err
    stored = read_checkpoint(only_run(Path("runs")) / "checkpoints" / "best.ckpt")["state_dict"]
    assert not any("_orig_mod" in name for name in stored)


def test_adapter_with_frozen_backbone_is_rejected(mfer: Mfer, capsys: pytest.CaptureFixture[str]) -> None:
    assert mfer(*VIT, "freeze=backbone", "freeze.epochs=1", "weights=imagenet") == 2
    assert "adapter=lora already freezes the backbone. Use freeze=none" in capsys.readouterr().err


@pytest.mark.slow
def test_two_ranks_train_adapter_and_leave_pretrained_weights_unchanged(tmp_path: Path) -> None:
    pytest.importorskip("peft", reason="pip install 'mfer_lightning[lora]'")
    tiny = {"depth": 4, "embed_dim": 24, "num_heads": 2, "img_size": 32}
    given = timm.create_model("vit_tiny_patch16_224", num_classes=0, **tiny).state_dict()
    torch.save(given, tmp_path / "vit.pth")
    options = [option for option in VIT if not option.startswith("trainer.accelerator")]
    command = [sys.executable, "-m", "mfer_lightning", *options, "trainer=ddp_cpu", "weights=vit.pth"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    run = only_run(tmp_path / "runs")
    assert (run / "result.json").is_file()
    stored = read_checkpoint(run / "checkpoints" / "best.ckpt")["state_dict"]
    parts = {name.partition(".model.")[2]: value for name, value in stored.items()}
    rested = {name.replace(".stage.", ".").replace(".base_layer.", "."): value for name, value in parts.items()}
    assert all(torch.equal(rested[name], value) for name, value in given.items())
