"""Two processes with either setting of ``use_distributed_sampler`` give the results of one process."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
from torch.utils.data import DistributedSampler

from mfer_lightning.data import EvalSampler, TrainSampler
from mfer_lightning.errors import UserError
from mfer_lightning.module.meet_datamodule import check_loaders

SCRIPT = """
import json, sys, torch
import lightning as L
from mfer_lightning import MFER, FERModule
from mfer_lightning.data import FacsDataModule
from mfer_lightning.errors import UserError
from mfer_lightning.losses import CrossEntropy, Objective
from mfer_lightning.nn import Preprocess

class Counted(FERModule):
    rows = ()
    def training_step(self, batch, batch_idx):
        self.rows += tuple(batch["index"].tolist())
        return super().training_step(batch, batch_idx)

faces = FacsDataModule(train_size=64, val_size=61, test_size=25, size=32, batch_size=16, augment="none", cache_dir=".")
torch.manual_seed(0)
network = MFER({"name": "convnext_atto", "options": {"depths": [1, 1, 1, 1], "dims": [8, 16, 24, 32]}}, 8)
module = Counted(network, Objective(CrossEntropy()), Preprocess(size=32), class_names=faces.class_names)
start = {name: value.clone() for name, value in module.state_dict().items()}
devices = int(sys.argv[1])
said = {}
for ours in (True, False):
    module.load_state_dict(start)
    module.rows = ()
    trainer = L.Trainer(
        accelerator="cpu", devices=devices, strategy="ddp" if devices > 1 else "auto", use_distributed_sampler=ours,
        max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )
    val, = trainer.validate(module, datamodule=faces, verbose=False)
    test, = trainer.test(module, datamodule=faces, verbose=False)
    trainer.fit(module, datamodule=faces)
    rows = [None] * devices
    if devices > 1:
        torch.distributed.all_gather_object(rows, module.rows)
    else:
        rows = [module.rows]
    after = {name: float(value) for name, value in trainer.callback_metrics.items()}
    said[str(ours)] = {**val, **test, "after": after, "rows": sorted(row for part in rows for row in part)}
    said[str(ours)]["steps"] = trainer.global_step
if devices > 1 and trainer.is_global_zero is not None:
    one = FacsDataModule(train_size=64, val_size=61, test_size=25, size=32, batch_size=16, cache_dir=".")
    one.trainer = L.Trainer(accelerator="cpu", devices=1, logger=False, enable_checkpointing=False)
    one.setup()
    loader = one.val_dataloader()
    try:
        trainer.validate(module, dataloaders=loader, verbose=False)
    except UserError as error:
        said["refused"] = str(error)
if trainer.is_global_zero:
    print("SAID", json.dumps(said), flush=True)
"""


def says(folder, devices):
    (folder / "script.py").write_text(SCRIPT)
    command = [sys.executable, "-W", "ignore", "script.py", str(devices)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    lines = [line.partition("SAID ")[2] for line in done.stdout.splitlines() if "SAID " in line]
    assert lines, done.stderr[-3000:]
    return json.loads(lines[0])


@pytest.mark.slow
def test_two_processes_match_one(tmp_path):
    alone, together = says(tmp_path, 1), says(tmp_path, 2)
    for setting in ("True", "False"):
        one, two = alone[setting], together[setting]
        assert one["rows"] == two["rows"] == sorted(set(one["rows"])), "each training face once an epoch"
        assert (one["steps"], len(one["rows"])) == (two["steps"], 64)
        for name, value in {**one, **one["after"]}.items():
            if isinstance(value, float):
                assert {**two, **two["after"]}[name] == pytest.approx(value, rel=1e-4), name
    assert "Pass the datamodule itself" in together["refused"]


def test_lightning_does_not_replace_our_samplers(faces):
    faces.setup()
    assert isinstance(faces.train_dataloader().sampler, TrainSampler)
    assert isinstance(faces.val_dataloader().sampler, EvalSampler)
    for loader in (faces.train_dataloader(), faces.val_dataloader()):
        assert isinstance(loader.sampler, DistributedSampler)  # then Lightning keeps it


@pytest.mark.parametrize("stage", ["fit", "validate", "test", "predict"])
def test_batches_made_for_more_processes_are_rejected(make, faces, trainer, stage):
    faces.setup()
    loader = faces.train_dataloader()
    loader.sampler.num_replicas = 2
    with pytest.raises(UserError, match="made for 2 process"):
        getattr(trainer(), stage)(make(), loader)


def test_overfit_batches_is_rejected_if_it_would_repeat_faces(faces):
    faces.setup()
    loader = faces.train_dataloader()
    several = SimpleNamespace(world_size=2, overfit_batches=1)
    loader.sampler.num_replicas = 2
    with pytest.raises(UserError, match=r"overfit_batches=1.* train_faces"):
        check_loaders(faces.class_names, several, loader)
    several.overfit_batches = 0
    check_loaders(faces.class_names, several, loader)
