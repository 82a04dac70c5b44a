"""Valence and arousal in a plain Trainer: logged, predicted and stored; data or networks without them are rejected."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from own_trainer.conftest import BACKBONE
from torch.utils.data import DataLoader, Dataset
from torchmetrics.regression import ConcordanceCorrCoef

from mfer_lightning import MFER, FERModule, evaluate
from mfer_lightning.data.datasets import RAFDBDataModule
from mfer_lightning.errors import UserError
from mfer_lightning.losses import ConcordanceLoss, CrossEntropy, Objective
from mfer_lightning.optim import Mixup

NAMES = {f"{name}{of}" for name in ("ccc", "rmse", "sagr") for of in ("", "_valence", "_arousal")}


def both(**options):
    """Network and objective of a module that learns valence and arousal."""
    torch.manual_seed(0)
    return {
        "network": MFER(BACKBONE, 8, valence_arousal=True),
        "objective": Objective(CrossEntropy(0.1), valence_arousal=ConcordanceLoss(), **options),
    }


def test_valence_and_arousal_are_trained_logged_and_selected_by(make, faces, trainer, tmp_path):
    module = make(**both())
    keep = ModelCheckpoint(tmp_path, "best", monitor="val/ccc", mode="max")
    own = trainer(max_epochs=2, callbacks=[keep], enable_checkpointing=True)
    own.fit(module, datamodule=faces)
    logged = own.callback_metrics
    assert {f"val/{name}" for name in NAMES} | {"train/valence_arousal"} <= set(logged)
    assert float(keep.best_model_score) == pytest.approx(float(logged["val/ccc"]), abs=0.5)
    tested = own.test(module, datamodule=faces, verbose=False)[0]
    known = faces.index.valence_arousal
    predicted = {
        k: torch.cat([b[k] for b in own.predict(module, datamodule=faces)]) for k in ("index", "valence_arousal")
    }
    x, y = predicted["valence_arousal"], torch.as_tensor(known[predicted["index"].numpy()])
    ccc = [float(ConcordanceCorrCoef()(x[:, i], y[:, i])) for i in range(2)]
    assert tested["test/ccc_valence"] == pytest.approx(ccc[0], abs=1e-5)
    assert tested["test/ccc"] == pytest.approx(sum(ccc) / 2, abs=1e-5)
    # the metrics of evaluate, computed from the table of predictions
    found = evaluate(module, faces, split="test").result["metrics"]
    for name in NAMES:
        assert found[name] == pytest.approx(tested[f"test/{name}"], abs=1e-5), name
    again = FERModule.load_from_checkpoint(keep.best_model_path)
    assert isinstance(again.objective.valence_arousal, ConcordanceLoss)
    assert own.test(again, datamodule=faces, verbose=False)[0].keys() == tested.keys()
    assert module.modes()["ccc"] == "max"
    assert module.modes()["rmse_arousal"] == "min"
    assert "ccc" not in make().modes()


def test_valence_and_arousal_work_with_mixup_and_sam(make, faces, trainer):
    module = make(**both(), mixup=Mixup(seed=0), optimizer={"name": "sgd", "lr": 0.01, "sam_rho": 0.05})
    own = trainer()
    own.fit(module, datamodule=faces)
    assert 0 <= float(own.callback_metrics["train/valence_arousal"]) <= 2


def test_dataset_without_valence_and_arousal_is_rejected(make, trainer, tmp_path):
    from data.layout_trees import write_rafdb

    plain = RAFDBDataModule(write_rafdb(tmp_path), size=32, batch_size=4, cache="none", augment="none")
    plain.setup()
    network = MFER(BACKBONE, 7, valence_arousal=True)
    module = make(plain.class_names, **{**both(), "network": network})
    with pytest.raises(UserError, match=r"rafdb \(.*\) has no valence and arousal, so they cannot be learned"):
        trainer().fit(module, datamodule=plain)


def test_network_without_the_head_is_rejected(make):
    with pytest.raises(UserError, match=r"does not predict them .*MFER\(..., valence_arousal=True\)"):
        make(**{**both(), "network": MFER(BACKBONE, 8)})


class OwnFaces(Dataset):
    """A user-defined dataset, with values known for every other face."""

    def __init__(self, named: bool = True) -> None:
        self.named = named

    def __len__(self) -> int:
        return 16

    def __getitem__(self, i: int):
        row = {
            "image": torch.full((3, 32, 32), i, dtype=torch.uint8),
            "label": torch.tensor(i % 8),
            "target": torch.eye(8)[i % 8],
            "index": torch.tensor(i),
        }
        values = torch.tensor([i / 16, -i / 16] if i % 2 else [torch.nan, torch.nan])
        return {**row, "valence_arousal": values} if self.named else row


def test_user_loaders_provide_values_in_the_batch(make, trainer):
    own = trainer()
    own.fit(make(**both()), DataLoader(OwnFaces(), batch_size=8), DataLoader(OwnFaces(), batch_size=8))
    assert {f"val/{name}" for name in NAMES} <= set(own.callback_metrics)
    with pytest.raises(UserError, match="must be a mapping with image, index, target, valence_arousal"):
        trainer().fit(make(**both()), DataLoader(OwnFaces(named=False), batch_size=8))
    # evaluation alone needs no values
    logits = trainer().validate(make(**both()), DataLoader(OwnFaces(named=False), batch_size=8), verbose=False)[0]
    assert "val/ccc" not in logits


SCRIPT = """
import sys, torch
import lightning as L
from mfer_lightning import MFER, FERModule
from mfer_lightning.losses import ConcordanceLoss, CrossEntropy, Objective
from mfer_lightning.nn import Preprocess
from own_trainer.conftest import BACKBONE, facs

devices, out = int(sys.argv[1]), sys.argv[2]
faces = facs(cache_dir=sys.argv[3])
faces.setup()
faces.index.attributes["valence"][::3] = float("nan")  # the ranks have different numbers of known values
faces.index.attributes["arousal"][100:] = float("nan")
torch.manual_seed(0)
network = MFER(BACKBONE, 8, valence_arousal=True)
objective = Objective(CrossEntropy(0.1), valence_arousal=ConcordanceLoss())
module = FERModule(network, objective, Preprocess(size=32), class_names=faces.class_names, optimizer="sgd")
trainer = L.Trainer(
    accelerator="cpu", devices=devices, strategy="ddp" if devices > 1 else "auto", use_distributed_sampler=False,
    max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
)
trainer.fit(module, datamodule=faces)
if trainer.is_global_zero:
    figures = {name: float(value) for name, value in trainer.callback_metrics.items() if name != "loss"}
    torch.save({"figures": figures, "weights": module.network.state_dict()}, out)
"""


@pytest.mark.slow  # three processes that import torch
def test_two_ranks_match_one(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    tests = str(Path(__file__).parents[1])
    for devices in (1, 2):
        command = [
            sys.executable,
            str(tmp_path / "script.py"),
            str(devices),
            str(tmp_path / f"{devices}.pt"),
            str(tmp_path),
        ]
        import os

        path = os.pathsep.join([tests, *filter(None, [os.environ.get("PYTHONPATH")])])
        subprocess.run(command, check=True, timeout=300, env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"})
    one, two = (torch.load(tmp_path / f"{devices}.pt", weights_only=True) for devices in (1, 2))
    assert {f"val/{name}" for name in NAMES} <= set(one["figures"])
    assert two["figures"] == pytest.approx(one["figures"], abs=2e-4)
    for name, weight in one["weights"].items():
        torch.testing.assert_close(
            two["weights"][name], weight, rtol=1e-3, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}"
        )
