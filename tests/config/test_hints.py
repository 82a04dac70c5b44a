"""Option names from Lightning, timm or Ultralytics, or without their node, produce a hint that names the right one."""

from __future__ import annotations

import subprocess
import sys

import pytest
from commands.conftest import Mfer

from mfer_lightning.config import usual_names
from mfer_lightning.config.backbone_options import without_other_family
from mfer_lightning.config.hints import hint, more_by_name, no_option, option_names
from mfer_lightning.config.schema import Train

#: Command line -> required text of the message.
MEANT = [
    ("batch_size=4", "There is no option `batch_size`: did you mean loader.batch_size=4?"),
    ("lr=1e-3", "did you mean optimizer.lr=1e-3?"),
    ("wd=0.1", "optimizer.weight_decay=0.1"),
    ("epochs=3", "trainer.max_epochs=3"),
    ("max_epochs=5", "trainer.max_epochs=5"),
    ("data.root=x", "paths.data=x or dataset.root=x"),
    ("model=resnet", "backbone=resnet18"),
    ("model=resnet18d", "backbone.name=resnet18d"),
    ("backbone=resnet18d", "For any other timm model: backbone.name=resnet18d."),
    ("--lr 1e-3", "did you mean optimizer.lr=1e-3?"),
    ("--batch-size 4", "loader.batch_size=4"),
    ("ckpt_path=x", "mfer evaluate checkpoint=<file>"),
    ("checkpoint=x", "resume=auto"),
    ("num_workers=2", "loader.num_workers=2"),
    ("gpus=2", "trainer.devices=2"),
    ("devices=2", "trainer.devices=2"),
    ("device=cpu", "trainer=cpu"),
    ("pretrained=true", "weights=imagenet"),
    ("img_size=64", "preprocess.size=64"),
    ("imgsz=64", "preprocess.size=64"),
    ("amp=true", "trainer.precision=bf16-mixed"),
    ("wandb=true", "logger=wandb"),
    ("project=x", "logger.project=x"),
    ("optimizer.learning_rate=1e-3", "did you mean optimizer.lr=1e-3?"),
    ("trainer.epochs=3", "did you mean trainer.max_epochs=3?"),
    ("trainer.batch_size=4", "loader.batch_size=4"),
    ("data.num_workers=2", "loader.num_workers=2"),
    ("label_smoothing=0.1", "loss.classification.label_smoothing=0.1"),
    ("batch_sise=4", "loader.batch_size=4"),
    ("+lr=1e-3", "optimizer.lr"),
    ("-m lr=1e-3,1e-4", "optimizer.lr=1e-3,1e-4"),
    ("-m +lr=1e-3 seed=0,1", "optimizer.lr"),
    ("loader=4", "loader.batch_size"),
    ("data lr=1e-3", "optimizer.lr=1e-3"),
    ("predict weights=x source=y", "checkpoint=x"),
    ("predict checkpoint=x video=x.mp4", "source=x.mp4"),
    ("predict loss=dsf", "it is an option of mfer train"),
    ("evaluate batch_size=4", "loader.eval_batch_size=4"),
    ("evaluate ckpt_path=x", "checkpoint=x"),
    ("export onnx=true", "format=onnx"),
    ("source=photos", "it is an option of mfer align"),
    (
        "network.backbone.name=resnet18",
        "it is an option of network=dan, dan_64px, ddamfn and others. Otherwise, use backbone.name=resnet18.",
    ),
    (
        "network.heads=3",
        "There is no option `network.heads` here: it is an option of network=dan, dan_64px, ddamfn and others.",
    ),
    ("method.alpha=0.3", "There is no option `method.alpha` here: it is an option of method=distill."),
    ("attention=none attention.kernel_size=3", "it is an option of attention=conv, ds, ds_depthwise"),
    ("loss.valence_arousal.weight=2", "did you mean valence_arousal.weight=2?"),
    ("model.optimizer.weight_decay=0.1", "did you mean optimizer.weight_decay=0.1?"),
]


@pytest.mark.parametrize(("typed", "words"), MEANT, ids=[typed for typed, _ in MEANT])
def test_hint_names_the_intended_option(typed: str, words: str, mfer: Mfer, capfd: pytest.CaptureFixture) -> None:
    assert mfer(*typed.split()) == 2
    message = capfd.readouterr().err
    assert words in message
    assert message.count("\n") == 1


def test_optimizer_option_from_another_library_is_named() -> None:
    said = no_option("optimizer.learning_rate", ["lr"], "train", ["optimizer.learning_rate=1e-3"], Train)
    assert said == "There is no option `optimizer.learning_rate`: did you mean optimizer.lr=1e-3?"


def test_misspelled_option_is_matched_within_its_node() -> None:
    assert "'max_epochs'" in no_option("trainer.max_epoch", ["max_epochs", "devices"], "train")
    assert "legal: lr." in no_option("optimizer.zzz", ["lr"], "train")


@pytest.mark.parametrize("table", ["TRAIN", "TRAINED"])
def test_hint_targets_exist(table: str) -> None:
    verbs = ("train",) if table == "TRAIN" else ("align", "demo", "evaluate", "export", "predict")
    known = {name for verb in verbs for name in option_names(verb, Train if verb == "train" else None)}
    for name, targets in getattr(usual_names, table).items():
        assert any(target.partition("=")[0] in known for target in targets.split(" or ")), name
    everywhere = option_names("train", Train)
    assert table == "TRAINED" or not [name for name in usual_names.TRAIN if name in everywhere]


def test_only_groups_that_accept_any_name_mention_it() -> None:
    assert more_by_name("loss", "x") == ""


def test_backbone_name_works_with_dataset_defaults_of_another_family(mfer: Mfer) -> None:
    few = ("dataset.train_size=16", "dataset.val_size=8", "dataset.test_size=8", "preprocess.size=32")
    assert mfer("backbone.name=resnet10t", *few, "loader.batch_size=8", "debug=fast_dev_run") == 0


def test_options_of_the_same_family_and_the_command_line_are_kept() -> None:
    node = {"name": "convnext_pico", "options": {"dims": [32, 64, 96, 160]}}
    assert without_other_family(node, "convnext_64px") is node
    changed = {"name": "resnet10t", "options": {"dims": [8, 8, 8, 8], "stem_type": "overlap_tiered"}}
    assert without_other_family(changed, "convnext_64px")["options"] == {"dims": [8, 8, 8, 8]}


def test_few_options_of_the_same_name_are_listed_and_many_are_not() -> None:
    names = option_names("train")
    assert hint("protocol", "x", names, "train") == "did you mean dataset.protocol=x?"
    assert hint("name", "x", {f"{c}.name": True for c in "abcdef"}, "train") == ""


def test_hints_import_neither_torch_nor_hydra() -> None:
    code = (
        "import sys\nfrom mfer_lightning.config.hints import hint, option_names\n"
        "assert hint('lr', '1', option_names('train'), 'train')\n"
        "assert not {'torch', 'hydra', 'timm', 'omegaconf', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
