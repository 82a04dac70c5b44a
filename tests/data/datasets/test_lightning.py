"""The datamodule inside a Lightning Trainer: epochs reach the sampler, evaluation is correct on several ranks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import lightning as L
import pytest
import torch
from data.trees import write_ferplus

from mfer_lightning.data.datasets import FERPlusDataModule

ROOT = Path(__file__).parents[3]


class Recorder(L.LightningModule):
    """A module that records its batches."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.trained: list[tuple[int, list[int], int]] = []
        self.evaluated: list[int] = []

    def training_step(self, batch: dict, batch_idx: int) -> torch.Tensor:
        self.trained.append((self.current_epoch, batch["index"].tolist(), int(batch["image"].long().sum())))
        return self.layer(batch["target"].sum().reshape(1, 1)).sum()

    def validation_step(self, batch: dict, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.evaluated += batch["index"].tolist()

    test_step = validation_step

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.0)


def trainer(epochs: int, folder: Path, **options) -> L.Trainer:
    return L.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        use_distributed_sampler=False,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=folder,
        **options,
    )


@pytest.mark.filterwarnings("ignore:The 'train_dataloader' does not have many workers")
def test_interrupted_run_resumes_with_the_same_faces(ferplus_root: Path, tmp_path: Path) -> None:
    def fit(epochs: int, checkpoint: Path | None) -> Recorder:
        recorder = Recorder()
        datamodule = FERPlusDataModule(ferplus_root, batch_size=16, augment="standard")
        runner = trainer(epochs, tmp_path, enable_checkpointing=False)
        runner.fit(recorder, datamodule=datamodule, ckpt_path=checkpoint, weights_only=True)
        runner.save_checkpoint(tmp_path / "last.ckpt")
        return recorder

    whole = fit(3, None).trained
    assert len(whole) == 12
    assert len({total for _, _, total in whole}) == 12  # every batch of every epoch looks different
    fit(2, None)
    assert fit(3, tmp_path / "last.ckpt").trained == whole[8:]


def test_protocol_without_selection_set_trains(ferplus_root: Path, tmp_path: Path) -> None:
    recorder = Recorder()
    runner = trainer(1, tmp_path, enable_checkpointing=False)
    runner.fit(recorder, datamodule=FERPlusDataModule(ferplus_root, protocol="ran", batch_size=16))
    assert len(recorder.trained) == 5
    assert recorder.evaluated == []


TWO_RANKS = """
    import json, os, sys
    sys.path[:0] = [{tests!r}]
    import importlib.util
    spec = importlib.util.spec_from_file_location("recorder", {here!r})
    recorder = importlib.util.module_from_spec(spec); spec.loader.exec_module(recorder)
    from pathlib import Path
    from mfer_lightning.data.datasets import FERPlusDataModule
    module = recorder.Recorder()
    options = dict(strategy="ddp", devices=2) if {ranks} == 2 else dict(devices=1)
    run = recorder.trainer(2, Path({folder!r}), enable_checkpointing=False, **options)
    data = FERPlusDataModule({root!r}, batch_size=16, eval_batch_size=6, augment="strong")
    run.fit(module, datamodule=data)
    trained, module.evaluated = module.trained, []
    run.test(module, datamodule=data, verbose=False)
    out = Path({folder!r}) / f"{ranks}-{{run.global_rank}}.json"
    out.write_text(json.dumps(dict(trained=trained, tested=module.evaluated)))
"""


@pytest.mark.slow
def test_two_ranks_train_on_the_same_batches_and_test_each_face_once(tmp_path: Path) -> None:
    root = write_ferplus(tmp_path / "ferplus", {"train": 64, "val": 7, "test": 9})
    results = {}
    for ranks in (1, 2):
        script = tmp_path / f"run{ranks}.py"
        fields = {
            "tests": str(ROOT / "tests"),
            "here": __file__,
            "ranks": ranks,
            "folder": str(tmp_path),
            "root": str(root),
        }
        script.write_text(textwrap.dedent(TWO_RANKS.format(**fields)))
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, str(script)], capture_output=True, text=True, timeout=180, env=environment, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
        results[ranks] = [json.loads((tmp_path / f"{ranks}-{rank}.json").read_text()) for rank in range(ranks)]
    (one,), two = results[1], results[2]
    assert [len(rank["trained"]) for rank in two] == [8, 8]
    for whole, *parts in zip(one["trained"], *(rank["trained"] for rank in two), strict=True):
        assert sorted(whole[1]) == sorted(parts[0][1] + parts[1][1])
        assert whole[2] == parts[0][2] + parts[1][2]  # pixels add up: the augmentation is the same
    tested = two[0]["tested"] + two[1]["tested"]
    assert sorted(row for row in tested if row >= 0) == sorted(one["tested"])
    assert tested.count(-1) == 1
