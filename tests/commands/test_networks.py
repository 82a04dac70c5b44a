"""``network=`` on the command line: choices, names, errors, and all uses of a finished run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from commands.conftest import Mfer, only_run

from mfer_lightning import load_model
from mfer_lightning.config.compose import compose_train
from mfer_lightning.errors import UserError
from mfer_lightning.inference.checkpoint import read_checkpoint
from mfer_lightning.module import FERModule
from mfer_lightning.sweeps.identity import run_name

PEERS = ("dan_64px", "ddamfn_64px", "poster2_64px")
#: Faces of 32 pixels, for a run that takes only seconds.
SMALL = (
    "dataset=facs",
    "dataset.size=32",
    "preprocess.size=32",
    "dataset.train_size=32",
    "dataset.val_size=16",
    "dataset.test_size=9",
    "loader.batch_size=16",
    "loader.num_workers=0",
    "trainer.max_epochs=2",
    "trainer.accelerator=cpu",
    "evaluation.embedding_points=0",
)


def test_default_network_keeps_run_names_and_hashes() -> None:
    config = compose_train(["dataset=facs"])
    assert config["network"] == {"name": "mfer"}
    before = {name: node for name, node in config.items() if name != "network"}
    before["loss"] = {name: value for name, value in config["loss"].items() if name != "terms"}
    assert run_name(before) == run_name(config)


def test_complete_network_sets_run_name_and_loss() -> None:
    config = compose_train(["network=dan", "dataset=rafdb"])
    assert run_name(config).startswith("rafdb-dan-dan-s0-")
    assert [config[part]["name"] for part in ("backbone", "attention", "head")] == ["none"] * 3
    assert sorted(config["loss"]["terms"]) == ["affinity", "partition"]
    assert run_name(compose_train(["network=dan", "dataset=rafdb", "loss=ce"])).startswith("rafdb-dan-ce-s0-")
    assert run_name(compose_train(["network=dan", "network.heads=2", "dataset=rafdb"])) != run_name(config)


@pytest.mark.parametrize("recipe", ["dan", "ddamfn", "poster2"])
def test_literature_recipes_compose_and_never_select_on_the_test_set(recipe: str) -> None:
    config = compose_train([f"experiment=field/{recipe}"])
    assert (config["network"]["name"], config["dataset"]["name"]) == (recipe, "rafdb")
    assert config["dataset"]["protocol"] == "holdout"
    assert config["loss"]["name"] == {"poster2": "ce"}.get(recipe, recipe)
    assert config["loss"]["classification"]["label_smoothing"] == 0.0
    numbers = (config["optimizer"]["lr"], config["loader"]["batch_size"], config["trainer"]["max_epochs"])
    assert numbers == {"dan": (0.1, 256, 40), "ddamfn": (0.01, 256, 40), "poster2": (3.5e-5, 144, 200)}[recipe]


def test_one_recipe_fits_every_network() -> None:
    found = {n: compose_train(["experiment=field/common_networks", f"network={n}"]) for n in ("mfer", "dan", "poster2")}
    assert {n: c["network"]["name"] for n, c in found.items()} == {n: n for n in found}
    assert len({json.dumps([c["optimizer"], c["trainer"], c["augment"], c["loader"]]) for c in found.values()}) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("network=dan_64px", "attention=ds"), "attention=ds has no effect with network=dan_64px"),
        (("network=dan_64px", "backbone.name=resnet18"), "backbone.name=resnet18 has no effect"),
        (("network=dan_64px", "+network.head=2"), "has no option 'head': did you mean 'heads'"),
        (("network=dan_64px", "method=eac"), "Method EAC needs the network output 'map'"),
        (("loss=dan",), "AffinityLoss) needs the network output 'pooled', but MFER returns only "),
        (("network=poster2",), "would keep a landmark network with random weights"),
        (("network=poster2_64px", "network.embed_dim=10"), "`embed_dim` must be a positive multiple of 8"),
    ],
)
def test_invalid_arguments_raise_one_clear_error(
    mfer: Mfer, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], message: str
) -> None:
    assert mfer(*SMALL, *options) == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("peer", PEERS)
class TestPeer:
    def test_run_can_be_evaluated_predicted_exported_and_loaded(self, mfer: Mfer, tmp_path: Path, peer: str) -> None:
        assert mfer(*SMALL, f"network={peer}") == 0
        run = only_run(tmp_path / "runs")
        assert run.name.startswith(f"facs-{peer}-")
        said = json.loads((run / "result.json").read_text())
        stored = read_checkpoint(run / "checkpoints" / "best.ckpt")["mfer"]
        assert stored["network"]["name"] == peer.removesuffix("_64px")

        assert mfer("evaluate", f"checkpoint={run}", "output=again") == 0
        again = json.loads((tmp_path / "again" / "result.json").read_text())
        assert again["metrics"]["accuracy"] == said["metrics"]["accuracy"]

        assert mfer("export", f"checkpoint={run}", "format=onnx", "faces=8") == 0
        faces = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
        model, onnx = load_model(run, "cpu"), load_model(run / "exports" / "onnx", "cpu")
        np.testing.assert_allclose(onnx.classify(list(faces))[0], model.classify(list(faces))[0], atol=1e-4)

        assert mfer("export", f"checkpoint={run}", "format=safetensors") == 0
        folder = run / "exports" / "safetensors"
        assert json.loads((folder / "config.json").read_text())["architectures"] == [stored["network"]["name"].upper()]
        np.testing.assert_allclose(
            load_model(folder, "cpu").classify(list(faces))[0], model.classify(list(faces))[0], atol=1e-6
        )
        module = FERModule.load_from_checkpoint(run / "checkpoints" / "best.ckpt")
        assert sorted(module.objective.terms) == sorted(stored["config"]["loss"].get("terms") or {})

    def test_works_with_scn_and_bfloat16(self, mfer: Mfer, tmp_path: Path, peer: str) -> None:
        options = ("method=scn", "method.relabel_epoch=1", "trainer.precision=bf16-mixed", "trainer.max_epochs=1")
        assert mfer(*SMALL, f"network={peer}", *options) == 0
        assert (only_run(tmp_path / "runs") / "relabelled.csv").is_file()

    def test_killed_and_resumed_run_matches_an_uninterrupted_one(self, tmp_path: Path, peer: str) -> None:
        def start(folder: Path) -> subprocess.Popen[bytes]:
            folder.mkdir(exist_ok=True)
            return subprocess.Popen(
                [sys.executable, "-m", "mfer_lightning", *SMALL, f"network={peer}", "trainer.max_epochs=6"],
                cwd=folder,
                stdout=subprocess.DEVNULL,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                start_new_session=True,
            )

        assert start(tmp_path / "alone").wait() == 0
        killed = start(tmp_path / "killed")
        while killed.poll() is None:
            table = next((tmp_path / "killed").glob("runs/*/metrics.csv"), None)
            if table is not None and len(table.read_text().splitlines()) > 2:
                break
            time.sleep(0.005)
        assert killed.poll() is None
        os.killpg(killed.pid, signal.SIGKILL)
        killed.wait()
        assert start(tmp_path / "killed").wait() == 0
        states = [
            read_checkpoint(only_run(tmp_path / name / "runs") / "checkpoints" / "last.ckpt")["state_dict"]
            for name in ("alone", "killed")
        ]
        assert states[0].keys() == states[1].keys()
        for name, value in states[0].items():
            torch.testing.assert_close(states[1][name], value, atol=0.0, rtol=0.0)

    def test_trains_on_two_ranks(self, tmp_path: Path, peer: str) -> None:
        losses = []
        for trainer in ("cpu", "ddp_cpu"):
            folder = tmp_path / trainer
            folder.mkdir()
            options = [o for o in SMALL if not o.startswith("trainer.accelerator")]
            subprocess.run(
                [sys.executable, "-m", "mfer_lightning", *options, f"network={peer}", f"trainer={trainer}"],
                cwd=folder,
                check=True,
                stdout=subprocess.DEVNULL,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
            table = (only_run(folder / "runs") / "metrics.csv").read_text().splitlines()
            losses.append(dict(zip(table[0].split(","), table[1].split(","), strict=True)))
        one, two = (float(row["train/loss"]) for row in losses)
        assert two == pytest.approx(one, rel=0.2)  # batch norms see half a batch each


@pytest.mark.slow
@pytest.mark.parametrize(("peer", "size"), [("dan", 224), ("ddamfn", 112), ("poster2", 224)])
def test_one_step_at_full_size(mfer: Mfer, tmp_path: Path, peer: str, size: int) -> None:
    options = ["trainer.max_epochs=1", "trainer.limit_train_batches=1", "trainer.limit_val_batches=1"]
    options += ["loader.batch_size=2", "dataset.test_size=2", "loader.eval_batch_size=2", f"preprocess.size={size}"]
    if peer == "poster2":
        options.append("network.freeze_landmarks=false")
    small = [o for o in SMALL if o.partition("=")[0] not in {p.partition("=")[0] for p in options}]
    assert mfer(*small, f"network={peer}", *options) == 0
    said = json.loads((only_run(tmp_path / "runs") / "result.json").read_text())
    expected = {"dan": 19_724_248, "ddamfn": 4_106_512, "poster2": 43_754_710}[peer]  # with 8 classes
    assert said["cost"]["parameters"] == expected


@pytest.mark.slow
@pytest.mark.parametrize("peer", PEERS)
def test_learns_the_built_in_dataset(mfer: Mfer, tmp_path: Path, peer: str) -> None:
    options = {
        "dan_64px": ("trainer.max_epochs=6",),
        "ddamfn_64px": ("trainer.max_epochs=5", "optimizer.lr=3e-3"),
        "poster2_64px": ("trainer.max_epochs=10", "optimizer.lr=1.5e-3"),
    }[peer]
    code = mfer("dataset=facs", f"network={peer}", *options, "trainer.accelerator=cpu", "evaluation.embedding_points=0")
    assert code == 0
    said = json.loads((only_run(tmp_path / "runs") / "result.json").read_text())
    assert said["metrics"]["accuracy"] > 0.8


def test_can_be_built_from_a_plain_script() -> None:
    from mfer_lightning.nn import DAN

    network = DAN(num_classes=7, backbone="resnet10t", heads=2)
    with pytest.raises(UserError, match="Unknown backbone"):
        DAN(num_classes=7, backbone="resnet10tt")
    assert network(torch.zeros(2, 3, 32, 32))["logits"].shape == (2, 7)
