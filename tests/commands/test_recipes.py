"""The full-scale recipes: each composes, matches its name, and trains one full-size step on a tiny copy."""

from __future__ import annotations

import json
import shutil
from inspect import signature
from pathlib import Path

import pytest
from commands.conftest import Mfer, only_run
from config.test_compose import composed
from data.layout_trees import write_affectnet_npy, write_rafdb
from data.trees import write_ferplus
from torch.optim import AdamW

from mfer_lightning.config.location import choices

RECIPES = [name for name in choices("experiment") if name.startswith(("paper/", "strong/"))]
TREES = {
    "rafdb": ("raf-db", lambda folder: write_rafdb(folder, train=140)),
    "affectnet7": ("affectnet", write_affectnet_npy),
    "affectnet8": ("affectnet", write_affectnet_npy),
    "ferplus": ("ferplus", write_ferplus),
}


def dataset_of(recipe: str) -> str:
    """paper/rafdb_script -> rafdb."""
    return recipe.split("/")[1].removesuffix("_script")


def test_every_paper_dataset_has_both_variants_and_a_strong_recipe() -> None:
    assert set(RECIPES) == {
        f"{kind}/{dataset}{end}"
        for dataset in TREES
        for kind, end in (("paper", ""), ("paper", "_script"), ("strong", ""))
    }


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipe_uses_the_paper_network_on_its_dataset(recipe: str) -> None:
    config = composed(f"experiment={recipe}")
    assert config["dataset"]["name"] == dataset_of(recipe)
    assert config["backbone"]["name"].split(".")[0] == "convnext_base"
    assert (config["attention"]["name"], config["head"]["name"], config["loss"]["name"]) == ("ds", "multiscale", "dsf")
    assert config["preprocess"]["size"] == 224
    assert config["dataset"]["protocol"] != "paper"  # selecting on the test set is never the default
    assert config["weights"] == "imagenet"


@pytest.mark.parametrize("dataset", TREES)
def test_paper_variants_use_the_published_hyperparameters(dataset: str) -> None:
    paper, script = composed(f"experiment=paper/{dataset}"), composed(f"experiment=paper/{dataset}_script")
    assert (paper["optimizer"]["lr"], paper["loader"]["batch_size"]) == (2.5e-4, 256)
    assert (script["optimizer"]["lr"], script["loader"]["batch_size"]) == (1e-3, 32)
    assert paper["trainer"]["max_epochs"] == (60 if dataset.startswith("affectnet") else 120)
    assert script["trainer"]["max_epochs"] == 100
    assert paper["augment"] == {"name": "paper", "flip": {"_target_": "albumentations.HorizontalFlip", "p": 0.5}}
    assert script["augment"] == {"name": "none"}
    assert script["optimizer"]["weight_decay"] == 0.01 == signature(AdamW).parameters["weight_decay"].default
    for config in (paper, script):
        assert (config["optimizer"]["name"], config["mixup"]["name"], config["sampler"]["name"]) == (
            "adamw",
            "none",
            "shuffle",
        )
        assert (config["scheduler"]["name"], config["scheduler"]["gamma"]) == ("exponential", 0.95)
        assert config["loss"]["feature_weight"] == 0.3  # ours: the script does not use --weight_loss 0.001
        assert config["loss"]["classification"]["label_smoothing"] == 0.1


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_recipe_takes_one_full_size_step(recipe: str, mfer: Mfer, tmp_path: Path) -> None:
    folder, write = TREES[dataset_of(recipe)]
    write(tmp_path / "data" / folder)
    steps = ("trainer.max_epochs=1", "trainer.limit_train_batches=1", "trainer.limit_val_batches=1")
    small = ("loader.batch_size=2", "loader.num_workers=0", "loader.eval_batch_size=16", "trainer.accelerator=cpu")
    code = mfer(
        f"experiment={recipe}", "paths.data=data", f"paths.cache={tmp_path / 'cache'}", "weights=none", *steps, *small,
        "evaluation.embedding_points=0",
    )  # fmt: skip
    run = only_run(tmp_path / "runs")
    shutil.rmtree(run / "checkpoints")  # gigabytes
    assert code == 0
    result = json.loads((run / "result.json").read_text())
    assert result["cost"]["parameters"] == 153_438_016 + {7: 1_918_997, 8: 1_921_304}[len(result["class_names"])]
