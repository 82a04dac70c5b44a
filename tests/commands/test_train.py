"""`mfer train` end to end: content of a finished run, repeated and resumed runs, and error messages."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from commands.conftest import FACS, FEW, TINY, Mfer, only_run
from data.trees import write_ferplus
from PIL import Image

from mfer_lightning.data.datasets import FaceDataModule
from mfer_lightning.evaluation.metrics import evaluate
from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.evaluation.schema import validate_result
from mfer_lightning.inference.checkpoint import read_checkpoint
from mfer_lightning.module import FERModule
from mfer_lightning.nn import MFER


def result_of(run: Path) -> dict:
    return json.loads((run / "result.json").read_text(encoding="utf-8"))


def copied(run: Path, runs: Path) -> Path:
    """A separate run for a test that changes it."""
    return Path(shutil.copytree(run, runs / run.name))


@pytest.mark.drawn
def test_finished_run_has_every_documented_file(mfer: Mfer, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert mfer(*FACS) == 0
    run = only_run(tmp_path / "runs")
    for name in (
        "config.yaml",
        "checkpoints/best.ckpt",
        "checkpoints/last.ckpt",
        "metrics.csv",
        "result.json",
        "predictions_val.csv",
        "predictions_test.csv",
        "features_val.npz",
        "features_test.npz",
        "figures/learning_curves.png",
        "figures/confusion.png",
        "figures/embedding.png",
        "log.txt",
    ):
        assert (run / name).stat().st_size > 0, name
    leftovers = [f.name for f in run.rglob("*") if f.name.startswith(".")]
    assert not leftovers

    result = result_of(run)
    validate_result(result)
    assert (result["protocol"], result["split"], result["n"], result["seed"]) == ("facs@native", "test", 37, 0)
    assert result["config"] == yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    assert result["cost"]["parameters"] == sum(p.numel() for p in MFER(**network_of(run)).parameters())

    table = Predictions.from_csv(run / "predictions_test.csv")
    assert len(table) == 37
    assert evaluate(table)["metrics"]["accuracy"] == pytest.approx(result["metrics"]["accuracy"], abs=1e-12)
    with np.load(run / "features_test.npz") as features:
        assert features["feature"].shape == (37, 32)
        np.testing.assert_array_equal(features["label"], table.label)
    for figure in (run / "figures").glob("*.png"):
        with Image.open(figure) as image:
            assert min(image.size) >= 300

    said = capsys.readouterr().out
    assert str(run.name) in said.replace("\n", "")
    assert "facs@native" in said


def network_of(run: Path) -> dict:
    return read_checkpoint(run / "checkpoints" / "best.ckpt")["mfer"]["network"]


@pytest.mark.slow
def test_best_checkpoint_reproduces_the_predictions_without_the_run(mfer: Mfer, tmp_path: Path) -> None:
    assert mfer(*FACS, "ema=none") == 0
    run = only_run(tmp_path / "runs")
    checkpoint = read_checkpoint(run / "checkpoints" / "best.ckpt")
    stored = checkpoint["mfer"]
    assert stored["class_names"][0] == "neutral"
    assert stored["protocol"] == "facs@native"
    network = MFER(**stored["network"]).eval()
    weights = {k.removeprefix("network."): v for k, v in checkpoint["state_dict"].items() if k.startswith("network.")}
    network.load_state_dict(weights)

    from mfer_lightning.nn import Preprocess
    from mfer_lightning.training.build import build_datamodule

    datamodule: FaceDataModule = build_datamodule(stored["config"])
    datamodule.setup("test")
    preprocess = Preprocess.from_config(stored["preprocess"])
    with torch.inference_mode():
        parts = [(b["index"], network(preprocess(b["image"]))["logits"]) for b in datamodule.test_dataloader()]
    logits = torch.cat([p[1] for p in parts])[torch.cat([p[0] for p in parts]).argsort()]
    np.testing.assert_allclose(logits, Predictions.from_csv(run / "predictions_test.csv").logits, atol=1e-5)


def test_metrics_csv_has_one_row_per_epoch_with_loss_terms_and_val_metrics(few_run: Path) -> None:
    with (few_run / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1"]
    for name in ("train/loss", "train/classification", "train/feature", "val/accuracy", "val/mean_class_accuracy"):
        assert all(np.isfinite(float(row[name])) for row in rows), name
    selection = result_of(few_run)["selection"]
    best = max(rows, key=lambda row: float(row["val/accuracy"]))
    assert float(best["val/accuracy"]) == pytest.approx(selection["value"], abs=1e-6)


@pytest.mark.slow
def test_repeated_command_gives_identical_results_in_a_new_folder(mfer: Mfer, tmp_path: Path, few_run: Path) -> None:
    first = copied(few_run, tmp_path / "runs")
    before = {f: f.read_bytes() for f in first.rglob("*") if f.is_file()}
    assert mfer(*FEW) == 0
    second = tmp_path / "runs" / f"{first.name}.2"
    assert result_of(second)["metrics"] == result_of(first)["metrics"]
    assert (second / "predictions_test.csv").read_bytes() == before[first / "predictions_test.csv"]
    assert {f: f.read_bytes() for f in first.rglob("*") if f.is_file()} == before, "a finished run is never touched"


def test_interrupted_run_resumes_to_the_same_weights(
    mfer: Mfer, tmp_path: Path, few_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def interrupt(self: FERModule) -> None:
        calls.append(self.current_epoch)
        if self.current_epoch == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(FERModule, "on_train_epoch_start", interrupt)
        assert mfer(*FEW, "name=cut") == 130
    cut = only_run(tmp_path / "runs" / "cut")
    assert calls == [0, 1]
    assert not (cut / "result.json").exists()
    made_elsewhere(cut / "checkpoints" / "last.ckpt", precision="16-mixed")
    assert mfer(*FEW, "name=cut") == 0
    here = result_of(few_run)["hardware"]["precision"]
    assert result_of(cut)["hardware"]["precision"] == f"16-mixed, then {here}"
    assert any(note.startswith(f"Trained in 16-mixed, then {here}") for note in result_of(cut)["notes"])
    assert only_run(tmp_path / "runs" / "cut") == cut
    ours, theirs = (torch.load(r / "checkpoints/last.ckpt", weights_only=True)["state_dict"] for r in (cut, few_run))
    for name, value in theirs.items():
        assert torch.equal(ours[name], value), name
    with (cut / "metrics.csv").open(newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["0", "1"]


CHOICES = [
    "loss=lgm",
    "attention=ds_depthwise",
    "head=linear",
    "optimizer=sam",
    "mixup=default",
    "augment=strong",
    "evaluation={flip:true,shift:0.02}",
    "track_test=true",
]
MORE_CHOICES = [
    "loss=ce",
    "loss=center",
    "loss=focal",
    "loss=balanced_softmax",
    "optimizer=sgd",
    "scheduler=step",
    "sampler=balanced",
    "ema=none",
    "dataset.target=probability",
]


@pytest.mark.slow
@pytest.mark.parametrize(
    "choice", [*CHOICES, *(pytest.param(choice, marks=pytest.mark.slow) for choice in MORE_CHOICES)]
)
def test_each_choice_trains(choice: str, mfer: Mfer, tmp_path: Path) -> None:
    assert mfer(*FACS, choice, "trainer.max_epochs=1", "dataset.train_size=32", "evaluation.embedding_points=0") == 0
    assert result_of(only_run(tmp_path / "runs"))["split"] == "test"


def test_ferplus_without_test_files_reports_selection_metrics(
    mfer: Mfer, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    write_ferplus(tmp_path / "data" / "ferplus", {"train": 64, "val": 24})
    options = ("dataset=ferplus", "backbone=convnext_tiny", *TINY)
    assert mfer(*options) == 0
    result = result_of(only_run(tmp_path / "runs"))
    assert (result["protocol"], result["split"]) == ("ferplus@majority", "val")
    assert "selection result" in capsys.readouterr().out
    votes = [c for c in header(only_run(tmp_path / "runs") / "predictions_val.csv") if c.startswith("votes_")]
    assert len(votes) == 10


def header(path: Path) -> list[str]:
    with path.open(newline="") as file:
        return next(csv.reader(file))


def test_non_finite_loss_stops_with_epoch_step_and_rows(
    mfer: Mfer, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert mfer(*FACS, "optimizer.lr=1e30", "trainer.clip=null", "ema=none", "trainer.precision=32-true") == 2
    error = capsys.readouterr().err
    assert "not a finite number in epoch" in error
    assert "rows of the batch" in error
    assert "optimizer.lr" in error


def test_unwritable_run_folder_raises_one_clear_error(
    mfer: Mfer, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    assert mfer(*FACS, "paths.runs=file/runs") == 2
    assert "paths.runs" in capsys.readouterr().err


def test_rejected_run_leaves_no_folder(mfer: Mfer, tmp_path: Path) -> None:
    assert mfer(*FACS, "backbone.name=convnext_bse") == 2
    assert not (tmp_path / "runs").exists()


def test_damaged_checkpoint_error_names_the_remedy(
    mfer: Mfer, tmp_path: Path, few_run: Path, capsys: pytest.CaptureFixture
) -> None:
    run = copied(few_run, tmp_path / "runs")
    (run / "result.json").unlink()
    (run / "checkpoints" / "last.ckpt").write_bytes(b"half a file")
    assert mfer(*FEW) == 2
    assert "resume=never" in capsys.readouterr().err
    assert (run / "checkpoints" / "best.ckpt").is_file()


def test_own_checkpoint_can_be_used_as_initial_weights(mfer: Mfer, few_run: Path) -> None:
    best = few_run / "checkpoints" / "best.ckpt"
    prefixes = {name.split(".")[0] for name in read_checkpoint(best)["state_dict"]}
    assert prefixes <= {"network", "objective", "preprocess", "evaluation_metrics"}
    assert mfer(*FEW, "trainer.max_epochs=1", f"weights={best}", "name=second") == 0


def test_resuming_between_training_and_result_keeps_the_cost(mfer: Mfer, tmp_path: Path, few_run: Path) -> None:
    run = copied(few_run, tmp_path / "runs")
    before = result_of(run)
    (run / "result.json").unlink()
    made_elsewhere(run / "checkpoints" / "last.ckpt", precision="16-mixed")
    assert mfer(*FEW) == 0
    after = result_of(only_run(tmp_path / "runs"))
    assert after["hardware"]["precision"] == "16-mixed"  # no epoch was trained here
    assert after["metrics"] == before["metrics"]
    assert after["cost"]["epochs"] == 2
    assert after["cost"]["seconds"] == pytest.approx(before["cost"]["seconds"])


def made_elsewhere(checkpoint: Path, **metadata: object) -> None:
    """Rewrite a checkpoint as if a machine with these properties had written it."""
    stored = read_checkpoint(checkpoint)
    stored["mfer"] |= metadata
    whole = checkpoint.with_suffix(".new")  # the tensors are mapped from the file
    torch.save(stored, whole)
    whole.replace(checkpoint)


@pytest.mark.slow
def test_unfinished_run_refuses_changed_data(mfer: Mfer, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    options = ("dataset=ferplus", "backbone=convnext_tiny", *TINY, "trainer.max_epochs=1")
    write_ferplus(tmp_path / "data" / "ferplus", {"train": 64, "val": 24})
    assert mfer(*options) == 0
    (only_run(tmp_path / "runs") / "result.json").unlink()
    label = tmp_path / "data" / "ferplus" / "FER2013Train" / "label.csv"
    label.write_text("\n".join(label.read_text().splitlines()[:-1]) + "\n")
    assert mfer(*options) == 2
    assert "data have changed" in capsys.readouterr().err


def test_heads_with_another_class_order_are_matched_by_name(
    mfer: Mfer, tmp_path: Path, few_run: Path, capsys: pytest.CaptureFixture
) -> None:
    best = few_run / "checkpoints" / "best.ckpt"
    write_ferplus(tmp_path / "data" / "ferplus", {"train": 64, "val": 24})
    options = ("dataset=ferplus", "backbone=convnext_tiny", *TINY, "trainer.max_epochs=1", "name=second")
    stem = "backbone.options={depths:[1,1,1,1],dims:[8,16,24,32],stem_type:overlap_tiered,ls_init_value:1.0}"
    assert mfer(*options, stem, f"weights={best}") == 0
    assert "heads matched by name to" in capsys.readouterr().out


def test_mixup_with_multi_target_loss_is_rejected(mfer: Mfer, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert mfer(*FACS, "mixup=default", "loss=multi_target", "dataset.target=multi") == 2
    assert "mixup=none" in capsys.readouterr().err


def test_label_noise_is_recorded_and_works_with_class_weights(mfer: Mfer, tmp_path: Path) -> None:
    options = ("dataset.label_noise=0.25", "loss.classification.class_weights=sqrt", "trainer.max_epochs=1")
    assert mfer(*FACS, *options, "evaluation.embedding_points=0") == 0
    run = only_run(tmp_path / "runs")
    noise = json.loads((run / "label_noise.json").read_text(encoding="utf-8"))
    assert len(noise["flips"]) == 16
    assert noise["sha256"][:12] in " ".join(result_of(run)["notes"])


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("dataset.label_noise=1.5", "`label_noise` within [0, 1)"),
        ("loss.classification.class_weights=heavy", "class_weights: Expected argument `scheme`"),
        ("loss.classification.class_weights=[1,2]", "2 numbers for 8 classes"),
    ],
)
def test_invalid_noise_and_weights_are_rejected(
    option: str, words: str, mfer: Mfer, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert mfer(*FACS, option) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_more_devices_than_cores_are_rejected(mfer: Mfer, capsys: pytest.CaptureFixture) -> None:
    assert mfer(*FACS, "trainer.devices=999") == 2
    assert "at most" in capsys.readouterr().err
