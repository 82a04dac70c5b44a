"""Agreement of module and datamodule in a Trainer, and the metadata stored by the module."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from own_trainer.conftest import facs
from PIL import Image
from torch.utils.data import DataLoader

from mfer_lightning.data import FacsDataModule, FolderDataModule
from mfer_lightning.errors import UserError
from mfer_lightning.inference.model import read_model

STAGES = ("fit", "validate", "test", "predict")
NAMES = FacsDataModule.info.class_names


@pytest.fixture
def folder(tmp_path):
    """Random faces in class folders, without an ``alignment.json``."""
    root, noise = tmp_path / "faces", np.random.default_rng(0)
    for part, count in (("train", 8), ("val", 4), ("test", 4)):
        for name in ("happiness", "anger"):
            (root / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = noise.integers(0, 255, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / part / name / f"{number}.png")
    return root


def aligned(root, template="face-evolve-112@1"):
    settings = {"template": template, "height": 32, "margin": 0.0, "border": "black", "refine": 2, "detector": "mtcnn"}
    (root / "alignment.json").write_text(json.dumps(settings))


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    "names",
    [NAMES[:5], (*NAMES[1:], NAMES[0]), ("joy", *NAMES[1:])],
    ids=["fewer", "another order", "other names"],
)
def test_different_classes_are_rejected(make, trainer, faces, stage, names):
    module = make(names)
    with pytest.raises(UserError, match=r"in the same order\. Build the module with class_names=datamodule"):
        getattr(trainer(), stage)(module, datamodule=faces)


def test_network_with_another_number_of_classes_is_rejected(make):
    with pytest.raises(ValueError, match="`class_names` to have as many names as the network has classes, 8"):
        make(NAMES[:5], network=make().network)


def test_user_loaders_work(make, trainer, faces):
    faces.setup()
    batches = DataLoader(faces.train_dataset, batch_size=8, collate_fn=lambda batch: batch)
    module, run = make(), trainer()
    run.fit(module, batches, batches)
    run.test(module, batches, verbose=False)
    assert module.metadata == {}  # the dataset of these faces is unknown


def test_training_records_its_dataset(make, trainer, faces):
    module = make()
    trainer().validate(module, datamodule=faces, verbose=False)
    assert module.metadata == {}  # evaluated, not trained on
    trainer().fit(module, datamodule=faces)
    said = module.metadata
    assert (said["dataset"], said["protocol"], said["data_hash"]) == ("facs", "facs@native", faces.data_hash)
    assert said["alignment"]["template"] == module.preprocess.alignment == "facs-64@1"  # the dataset declares it
    trainer().fit(module, datamodule=faces)  # the same metadata again


@pytest.mark.parametrize("told", [{"protocol": "rafdb@holdout"}, {"data_hash": "0" * 64}])
def test_contradicting_metadata_are_rejected(make, trainer, faces, told):
    module = make(metadata=told)
    with pytest.raises(UserError, match=r"To train the module on other faces, set module.metadata = \{\}"):
        trainer().fit(module, datamodule=faces)
    trainer().test(module, datamodule=faces, verbose=False)  # trained on one dataset, tested on another
    assert module.metadata == told


def test_alignment_is_stored_only_if_known(make, trainer, folder):
    own = FolderDataModule(folder, batch_size=8, size=32)
    module = make(("happiness", "anger"))
    trainer().fit(module, datamodule=own)
    assert "alignment" not in module.metadata
    assert module.preprocess.alignment is None

    aligned(folder)
    own = FolderDataModule(folder, batch_size=8, size=32)
    module = make(("happiness", "anger"))
    trainer().fit(module, datamodule=own)
    assert module.metadata["alignment"]["origin"] == "alignment.json"
    assert module.preprocess.alignment == "face-evolve-112@1"

    aligned(folder, "ferplus-48@1")
    module.metadata.pop("data_hash")
    with pytest.raises(UserError, match="Align both in the same way"):
        trainer().fit(module, datamodule=FolderDataModule(folder, batch_size=8, size=32))
    module.metadata.clear()
    with pytest.raises(UserError, match="Remove Preprocess"):
        trainer().fit(module, datamodule=FolderDataModule(folder, batch_size=8, size=32))


def test_greyscale_faces_configure_greyscale_preprocessing(make, trainer, folder):
    for file in folder.rglob("*.png"):
        Image.open(file).convert("L").save(file)
    module = make(("happiness", "anger"))
    trainer().fit(module, datamodule=FolderDataModule(folder, batch_size=8, size=32))
    assert module.preprocess.grey


def test_command_line_accepts_the_checkpoint(make, trainer, faces, tmp_path, monkeypatch, capsys):
    from mfer_lightning.cli import main

    module, run = make(), trainer(max_epochs=1)
    run.fit(module, datamodule=faces)
    run.save_checkpoint(tmp_path / "own.ckpt")
    (figures,) = run.test(module, datamodule=faces, verbose=False)
    assert "datamodule" not in read_model(tmp_path / "own.ckpt").describe()  # it contains local paths
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(("evaluate", "checkpoint=own.ckpt", "loader.num_workers=0", "evaluation.embedding_points=0"))
    assert not stop.value.code, capsys.readouterr()
    (result,) = tmp_path.glob("**/result.json")
    found = json.loads(result.read_text())
    assert found["model"]["trained_on"] == found["protocol"] == "facs@native"
    assert found["metrics"]["accuracy"] == pytest.approx(figures["test/accuracy"])
    assert found["metrics"]["nll"] == pytest.approx(figures["test/nll"], rel=1e-5)


def test_datamodule_has_a_readable_repr(folder, faces):
    assert repr(faces) == str(faces) == "FacsDataModule(facs@native, not set up)"
    assert (faces.class_names, faces.num_classes) == (NAMES, 8)
    assert faces.hparams.val_size == 61
    faces.setup()
    assert repr(faces) == "FacsDataModule(facs@native, 8 classes, faces: train 64, val 61, test 25)"
    own = FolderDataModule(folder, augment=lambda images, *_: images)
    with pytest.raises(UserError, match=r"call datamodule.setup\(\) first"):
        own.class_names  # noqa: B018
    own.setup()
    assert own.class_names == ("happiness", "anger")
    assert own.hparams.root == str(folder)
    assert "augment" not in own.hparams  # a function is not a plain value


def test_public_names_are_listed():
    import mfer_lightning
    import mfer_lightning.data

    assert {"FERModule", "MFER", "load_model"} <= set(mfer_lightning.__all__)
    assert {"FacsDataModule", "RAFDBDataModule", "FaceIndex"} <= set(dir(mfer_lightning.data))


@pytest.mark.parametrize(
    "options", [{"optimizer": torch.optim.Adam}, {"scheduler": 3}, {"optimizer": {"lr": torch.tensor(1.0)}}]
)
def test_options_must_be_names_or_plain_mappings(make, options):
    (name,) = options
    with pytest.raises(ValueError, match=f"Expected argument `{name}` to"):
        make(**options)


def test_optimizer_can_be_given_by_name(make, trainer, faces):
    module, run = make(optimizer="sgd", scheduler="constant"), trainer()
    run.fit(module, datamodule=faces)
    assert type(run.optimizers[0]).__name__ == "SGD"
    with pytest.raises(UserError, match="no_such"):
        trainer().fit(make(optimizer="no_such"), datamodule=facs())
