"""``FERModule.load_from_checkpoint``: checkpoints written by any Trainer or the command line, read only as data."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn

from mfer_lightning import FERModule, load_model
from mfer_lightning.data import FacsDataModule
from mfer_lightning.errors import UserError
from mfer_lightning.inference.model import read_model
from mfer_lightning.losses import BalancedSoftmax, CrossEntropy, LGMLoss, MetricLearningLoss, Objective
from mfer_lightning.optim import Mixup

FILES = Path(__file__).parents[1] / "compatibility" / "files"
OLD = sorted(FILES.glob("**/best.ckpt"))


class Plain(nn.Module):
    """A user-defined network, which no checkpoint describes."""

    def __init__(self, num_classes: int = 8) -> None:
        super().__init__()
        self.layer = nn.Linear(3, num_classes)
        self.num_classes, self.feature_dim = num_classes, 3

    def forward(self, image: Tensor) -> dict[str, object]:
        feature = image.mean((2, 3))
        logits = self.layer(feature)
        return {"feature": feature, "logits": logits, "head_logits": (logits,)}


class Further(FERModule):
    """A module with an additional argument."""

    def __init__(self, *args: object, width: int = 1, **options: object) -> None:
        super().__init__(*args, **options)
        self.width = width
        self.hparams["width"] = width


@pytest.fixture
def saved(make, faces, trainer, tmp_path):
    """Return a function that trains a module and returns the path of its best checkpoint and the test results."""

    def train(module, datamodule=faces, **options):
        best = ModelCheckpoint(tmp_path / "checkpoints", monitor="val/accuracy", mode="max")
        run = trainer(enable_checkpointing=True, callbacks=[best], **options)
        run.fit(module, datamodule=datamodule)
        return best.best_model_path, run.test(module, datamodule=datamodule, ckpt_path="best", verbose=False)

    return train


def test_loaded_module_gives_the_same_test_result_and_can_be_trained(make, faces, saved, trainer):
    options = {"optimizer": {"name": "sgd", "lr": 0.01}, "scheduler": {"name": "cosine"}}
    path, before = saved(make(**options, mixup=Mixup(0.1, seed=3)))
    module = FERModule.load_from_checkpoint(path)
    assert trainer().test(module, datamodule=faces, verbose=False) == before
    assert module.optimizer_options == options["optimizer"]
    assert module.scheduler_options == options["scheduler"]
    assert module.mixup.config == Mixup(0.1, seed=3).config
    assert module.metadata["protocol"] == "facs@native"
    assert torch.equal(module.objective.feature.centers, torch.load(path)["state_dict"]["objective.feature.centers"])
    trainer().fit(module, datamodule=faces)
    assert all(parameter.requires_grad for parameter in module.parameters())


def test_keyword_arguments_take_precedence(make, saved):
    path, _ = saved(make())
    module = FERModule.load_from_checkpoint(path, optimizer="sgd", scheduler={"name": "cosine"}, metadata={})
    assert module.optimizer_options["name"] == "sgd"
    assert module.scheduler_options == {"name": "cosine"}
    assert module.metadata == {}


@pytest.mark.parametrize("weights", [None, (1, 2, 1, 1, 1, 1, 1, 3)])
def test_losses_are_rebuilt_with_their_arguments(make, saved, weights):
    objective = Objective(CrossEntropy(0.2, weights), LGMLoss(8, 32, "diagonal", variance_floor=0.05), 0.7)
    rebuilt = FERModule.load_from_checkpoint(saved(make(objective=objective))[0]).objective
    assert repr(rebuilt) == repr(objective)
    assert rebuilt.feature.variance_floor == 0.05
    assert (rebuilt.classification.class_weights is None) == (weights is None)


def test_class_counts_and_losses_of_other_libraries_are_rebuilt(make, saved):
    pytest.importorskip("pytorch_metric_learning")
    pairs = MetricLearningLoss(8, 32, "supcon", temperature=0.2)
    objective = Objective(BalancedSoftmax([3, 4, 5, 6, 7, 8, 9, 10]), pairs)
    rebuilt = FERModule.load_from_checkpoint(saved(make(objective=objective))[0]).objective
    assert torch.equal(rebuilt.classification.log_prior, objective.classification.log_prior)
    assert rebuilt.feature.loss.temperature == 0.2


def test_undescribed_parts_must_be_passed(make, saved):
    own = make(network=Plain(), objective=Objective(CrossEntropy()))
    path, _ = saved(own)
    message = r"module's network\. Pass it explicitly: FERModule.load_from_checkpoint\(path, network="
    with pytest.raises(UserError, match=message):
        FERModule.load_from_checkpoint(path)
    loaded = FERModule.load_from_checkpoint(path, network=Plain())
    assert torch.equal(loaded.network.layer.weight, torch.load(path)["state_dict"]["network.layer.weight"])

    class Mine(CrossEntropy):
        """Stores an argument under another name."""

        def __init__(self, strength: float = 2.0) -> None:
            super().__init__()
            self.scale = strength

    path, _ = saved(make(objective=Objective(Mine())))
    with pytest.raises(UserError, match="objective="):
        FERModule.load_from_checkpoint(path)
    assert FERModule.load_from_checkpoint(path, objective=Objective(Mine())).objective.classification.scale == 2.0


def test_user_subclass_is_loaded_as_itself(make, faces, saved):
    module = make()
    mine = Further(module.network, module.objective, module.preprocess, class_names=faces.class_names, width=5)
    loaded = Further.load_from_checkpoint(saved(mine)[0])
    assert type(loaded) is Further
    assert loaded.width == 5


@pytest.mark.parametrize("path", OLD, ids=lambda p: p.parents[1].name)
def test_checkpoints_of_earlier_command_lines_load(path):
    module, model = FERModule.load_from_checkpoint(path), read_model(path, "cpu")
    face = torch.zeros(1, 3, 48, 48, dtype=torch.uint8)
    torch.testing.assert_close(module.eval()(face)["logits"], model(face)["logits"])
    assert module.metadata["protocol"] == model.metadata["protocol"]
    assert module.optimizer_options["lr"] == model.metadata["config"]["optimizer"]["lr"]


def test_code_in_a_checkpoint_is_never_executed(make, saved, tmp_path):
    path, _ = saved(make())
    checkpoint = torch.load(path, weights_only=True)
    for target in ("os.system", "builtins.eval", "mfer_lightning.cli.main", "torch.nn.Linear"):
        part = {"_target_": target, "command": f"touch {tmp_path / 'executed'}"}
        checkpoint["hyper_parameters"]["objective"] = {"classification": part, "feature": None}
        torch.save(checkpoint, tmp_path / "changed.ckpt")
        with pytest.raises(UserError, match="objective"):
            FERModule.load_from_checkpoint(tmp_path / "changed.ckpt")
    del checkpoint["hyper_parameters"]["objective"]
    checkpoint["hyper_parameters"]["_instantiator"] = "os.system"  # Lightning's own loading would call it
    torch.save(checkpoint, tmp_path / "changed.ckpt")
    assert FERModule.load_from_checkpoint(tmp_path / "changed.ckpt", objective=Objective(CrossEntropy()), strict=False)

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {tmp_path / 'executed'}",)

    torch.save({**checkpoint, "evil": Evil()}, tmp_path / "pickled.ckpt")
    with pytest.raises(UserError, match="could run code"):
        FERModule.load_from_checkpoint(tmp_path / "pickled.ckpt")
    with pytest.raises(UserError, match="only read as data"):
        FERModule.load_from_checkpoint(path, weights_only=False)
    assert not (tmp_path / "executed").exists()


def test_sizes_come_from_the_network_not_from_the_file(make, saved, tmp_path):
    path, _ = saved(make())
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["hyper_parameters"]["objective"]["feature"]["feature_dim"] = 10**12
    torch.save(checkpoint, tmp_path / "huge.ckpt")
    assert FERModule.load_from_checkpoint(tmp_path / "huge.ckpt").objective.feature.feature_dim == 32


def test_checkpoint_records_its_dataset(make, saved):
    path, _ = saved(make())
    model = load_model(path)
    assert model.metadata["dataset"] == "facs"
    assert model.alignment["template"] == "facs-64@1"
    assert "facs@native" in repr(model)


def test_datamodule_can_be_loaded_from_a_checkpoint(make, saved):
    path, _ = saved(make())
    again = FacsDataModule.load_from_checkpoint(path, weights_only=True)
    assert again.hparams.val_size == 61
