"""``method=`` on the command line: outputs, resuming, and independence of the number of ranks."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from commands.conftest import FACS, FEW, Mfer, only_run
from safetensors.torch import load_file

from mfer_lightning import evaluate
from mfer_lightning.data.datasets import FacsDataModule
from mfer_lightning.inference.checkpoint import read_checkpoint
from mfer_lightning.module import FERModule

SCN = ("method=scn", "method.relabel_epoch=1", "method.relabel_margin=0.0", "dataset.label_noise=0.3")
#: Options that let each method take effect within a few epochs.
METHODS = {
    "scn": SCN,
    "eac": ("method=eac",),
    "rul": ("method=rul",),
    "coteaching": ("method=coteaching", "method.ramp_epochs=2", "loss=ce"),
    "distill": ("method=distill", "method.teachers=[TEACHER]"),
}


def options_of(method: str, teacher: Path) -> tuple[str, ...]:
    return tuple(option.replace("TEACHER", str(teacher)) for option in METHODS[method])


def rows_of(table: Path) -> list[dict[str, str]]:
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


class TestSCN:
    @pytest.mark.slow
    def test_relabelled_faces_are_recorded_and_compared_with_the_true_labels(self, mfer: Mfer, tmp_path: Path) -> None:
        assert mfer(*FACS, *SCN) == 0
        run = only_run(tmp_path / "runs")
        counts = json.loads((run / "result.json").read_text())["relabelled"]
        rows = rows_of(run / "relabelled.csv")
        noise = {flip["path"]: flip for flip in json.loads((run / "label_noise.json").read_text())["flips"]}
        assert counts["faces"] == len(rows) > 0
        assert counts["training_faces"] == 64
        assert counts["flipped"] == len(noise) == 19
        assert all(row["now"] != row["given"] for row in rows)
        assert all(row["true"] == noise.get(row["path"], {"true": row["given"]})["true"] for row in rows)
        assert counts["mended"] == sum(row["now"] == row["true"] for row in rows)
        assert counts["spoilt"] == sum(row["given"] == row["true"] for row in rows)
        assert counts["faces"] == counts["mended"] + counts["still_wrong"] + counts["spoilt"]
        epochs = rows_of(run / "metrics.csv")
        assert all(float(row["train/relabelled"]) > 0 and float(row["train/certainty"]) > 0 for row in epochs)

        module = FERModule.load_from_checkpoint(run / "checkpoints" / "best.ckpt")
        changed = module.method.labels.changed
        assert int((changed >= 0).sum()) >= len(rows)
        assert module.method.relabel_epoch == 1
        datamodule = FacsDataModule(train_size=64, val_size=24, test_size=37, size=32, label_noise=0.3)
        datamodule.prepare_data()
        datamodule.setup("fit")
        assert len(changed) == len(datamodule.index)

    def test_mixup_is_rejected(self, mfer: Mfer, capsys: pytest.CaptureFixture[str]) -> None:
        assert mfer(*FEW, *SCN, "mixup=default") == 2
        assert "Method SCN does not support mixed faces. Use mixup=none" in capsys.readouterr().err


def test_eac_rejects_networks_without_feature_maps(mfer: Mfer, capsys: pytest.CaptureFixture[str]) -> None:
    small = "backbone.options={depth:2,embed_dim:12,num_heads:2}"
    options = ("backbone=vit_small", small, "backbone.pool=token", "attention=none", "preprocess.size=32")
    assert mfer("dataset=facs", *options, "method=eac") == 2
    assert "Method EAC needs the network output 'map'" in capsys.readouterr().err


class TestCoTeaching:
    OPTIONS = (*METHODS["coteaching"], "dataset.label_noise=0.3")

    @pytest.mark.slow
    def test_network_with_the_better_val_accuracy_is_kept(self, mfer: Mfer, tmp_path: Path) -> None:
        assert mfer(*FACS, *self.OPTIONS, "trainer.max_epochs=4") == 0
        run = only_run(tmp_path / "runs")
        epochs = rows_of(run / "metrics.csv")
        for row in epochs:
            both = [float(row[f"val/{place}_accuracy"]) for place in ("first", "second")]
            assert float(row["val/accuracy"]) == max(both)
            assert float(row["val/kept"]) == (2 if both[1] > both[0] else 1)
        assert [float(row["train/remembered"]) for row in epochs] == pytest.approx([1.0, 0.9, 0.8, 0.8])

        selected = json.loads((run / "result.json").read_text())["selection"]
        best = read_checkpoint(run / "checkpoints" / "best.ckpt")
        assert int(best["state_dict"]["method.kept"]) == float(epochs[selected["epoch"]]["val/kept"]) - 1
        evaluation = FacsDataModule(train_size=64, val_size=24, test_size=37, size=32, label_noise=0.3, num_workers=0)
        accuracy = evaluate(str(run), evaluation, "val").metrics["accuracy"]
        assert accuracy == pytest.approx(selected["value"], abs=1e-6)

        module = FERModule.load_from_checkpoint(run / "checkpoints" / "best.ckpt")
        names = module.method.state_dict().keys()
        assert any(name.startswith("peer.backbone") for name in names)
        first, second = module.network.state_dict(), module.method.peer.state_dict()
        assert any(not torch.equal(first[name], second[name]) for name in first)
        assert mfer("export", f"checkpoint={run}", "output=exported", "format=safetensors") == 0
        assert len(load_file(tmp_path / "exported" / "model.safetensors")) == len(first)

    def test_losses_with_centres_are_rejected(self, mfer: Mfer, capsys: pytest.CaptureFixture[str]) -> None:
        assert mfer(*FEW, "method=coteaching", "loss=dsf") == 2
        assert "Use loss=ce" in capsys.readouterr().err

    def test_options_that_change_only_one_network_are_rejected(
        self, mfer: Mfer, capsys: pytest.CaptureFixture[str], few_run: Path
    ) -> None:
        assert (
            mfer(*FEW, *self.OPTIONS, "freeze=backbone", "freeze.epochs=1", f"weights={few_run}/checkpoints/best.ckpt")
            == 2
        )
        assert "trains two complete networks, but freeze=backbone changes only one" in capsys.readouterr().err


class TestDistill:
    @pytest.mark.slow
    def test_teachers_are_recorded_in_the_checkpoint_and_only_needed_for_training(
        self, mfer: Mfer, tmp_path: Path, few_run: Path
    ) -> None:
        teacher = tmp_path / "teacher.ckpt"
        shutil.copy(few_run / "checkpoints" / "best.ckpt", teacher)
        assert mfer(*FEW, "method=distill", f"method.teachers=[{few_run},{teacher}]") == 0
        run = only_run(tmp_path / "runs")
        best = read_checkpoint(run / "checkpoints" / "best.ckpt")
        assert best["mfer"]["teachers"] == [
            {"path": str(path), "sha256": hashlib.sha256(teacher.read_bytes()).hexdigest()}
            for path in (few_run / "checkpoints" / "best.ckpt", teacher)
        ]
        assert not any(name.startswith("method.") for name in best["state_dict"])
        rows = rows_of(run / "metrics.csv")
        assert all(float(row["train/distillation"]) > 0 for row in rows)
        teacher.unlink()
        assert FERModule.load_from_checkpoint(run / "checkpoints" / "best.ckpt").method.temperature == 2.0
        assert mfer("export", f"checkpoint={run}", "output=exported", "format=safetensors") == 0
        assert str(few_run.parent) not in (tmp_path / "exported" / "config.json").read_text()

    @pytest.mark.parametrize(
        ("teachers", "said"), [("[]", "Name one or more runs or checkpoints"), ("[nowhere]", "method.teachers: There")]
    )
    def test_missing_teacher_is_rejected(
        self, mfer: Mfer, capsys: pytest.CaptureFixture[str], teachers: str, said: str
    ) -> None:
        assert mfer(*FEW, "method=distill", f"method.teachers={teachers}") == 2
        assert said in capsys.readouterr().err

    @pytest.mark.slow
    def test_changed_or_missing_teacher_stops_a_resumed_run(self, tmp_path: Path, few_run: Path) -> None:
        teacher, folder = tmp_path / "teacher.ckpt", tmp_path / "pupil"
        shutil.copy(few_run / "checkpoints" / "best.ckpt", teacher)
        options = ("method=distill", f"method.teachers=[{teacher}]", "trainer.max_epochs=200")
        kill_after(folder, options, 2)  # the checkpoint of the first epoch exists by then: it is written after the row
        kept = teacher.read_bytes()
        changed = torch.load(teacher, weights_only=True)
        changed["epoch"] += 1
        torch.save(changed, teacher)
        assert start(folder, *options).wait() == 2
        assert "has changed since" in (folder / "stderr.txt").read_text()
        teacher.unlink()
        assert start(folder, *options).wait() == 2
        assert "method.teachers: There is no" in (folder / "stderr.txt").read_text()
        teacher.write_bytes(kept)
        kill_after(folder, options, 4)


def start(folder: Path, *options: str) -> subprocess.Popen[bytes]:
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "mfer_lightning", *FACS, *options],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=(folder / "stderr.txt").open("ab"),
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )


def kill_after(folder: Path, options: Sequence[str], epochs: int) -> None:
    """Start or resume a run, and kill it when its table has that many epochs."""
    process = start(folder, *options)
    while process.poll() is None:
        table = next(folder.glob("runs/*/metrics.csv"), None)
        if table is not None and len(rows_of(table)) >= epochs:
            break
        time.sleep(0.005)
    assert process.poll() is None, (folder / "stderr.txt").read_text()
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def state_of(folder: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(only_run(folder / "runs") / "checkpoints" / "last.ckpt")["state_dict"]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["scn", "rul", "coteaching", "distill"])
def test_killed_and_resumed_run_matches_an_uninterrupted_one(tmp_path: Path, few_run: Path, method: str) -> None:
    options = (*options_of(method, few_run), "trainer.max_epochs=8")
    assert start(tmp_path / "alone", *options).wait() == 0
    folder = tmp_path / "killed"
    for epochs in (2, 5):
        kill_after(folder, options, epochs)
    assert start(folder, *options).wait() == 0
    alone, killed = state_of(tmp_path / "alone"), state_of(folder)
    assert any(name.startswith("method.") for name in alone) is (method != "distill")
    assert alone.keys() == killed.keys()
    assert all(torch.equal(alone[name], killed[name]) for name in alone)
    if method == "scn":
        assert bool((alone["method.labels.changed"] >= 0).any())
        tables = [only_run(f / "runs") / "relabelled.csv" for f in (tmp_path / "alone", folder)]
        assert tables[0].read_bytes() == tables[1].read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_two_ranks_match_one_rank_with_the_combined_batch(tmp_path: Path, few_run: Path, method: str) -> None:
    """Gradients are compared in tests/methods/test_ranks.py; here rounding errors have grown for 16 steps."""
    words = ("trainer.precision=32-true", "trainer.max_epochs=4")  # bfloat16 rounding could change the class of a face
    for trainer in ("cpu", "ddp_cpu"):
        assert start(tmp_path / trainer, *options_of(method, few_run), f"trainer={trainer}", *words).wait() == 0
    one, two = (rows_of(only_run(tmp_path / t / "runs") / "metrics.csv") for t in ("cpu", "ddp_cpu"))
    for first, second in zip(one, two, strict=True):
        for name in first:
            if name.startswith(("train/", "val/")):
                assert float(second[name]) == pytest.approx(float(first[name]), rel=5e-3, abs=0.02), name


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_methods_work_with_mixed_precision_sam_and_ema(mfer: Mfer, tmp_path: Path, few_run: Path, method: str) -> None:
    options = ("trainer.precision=bf16-mixed", "optimizer.sam_rho=0.05", "ema=default", "ema.decay=0.9")
    assert mfer(*FACS, *options_of(method, few_run), *options) == 0
    rows = rows_of(only_run(tmp_path / "runs") / "metrics.csv")
    assert all(float(row["train/loss"]) == pytest.approx(float(row["train/loss"])) for row in rows)


@pytest.mark.slow
def test_sweep_over_methods_ends_with_a_comparison_report(mfer: Mfer, tmp_path: Path) -> None:
    methods = "method=baseline,scn,rul,eac"
    assert mfer("-m", methods, "dataset=facs", "dataset.label_noise=0.3", "seed=0,1", *FACS, "name=field") == 0
    results = [json.loads(path.read_text()) for path in (tmp_path / "runs" / "field").glob("*/result.json")]
    assert {(r["config"]["method"]["name"], r["seed"]) for r in results} == {
        (method, seed) for method in ("baseline", "scn", "rul", "eac") for seed in (0, 1)
    }
    text = (tmp_path / "runs" / "field" / "report" / "report.md").read_text()
    for method in ("baseline", "scn", "rul", "eac"):
        assert f"| {method} |" in text
    assert "a comparison needs at least 3 seeds of each method): method=eac; method=rul; method=scn" in text
    assert text.count("? undecided |") >= 3  # one verdict per method against the baseline
