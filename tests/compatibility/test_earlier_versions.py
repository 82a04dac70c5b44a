"""Run folders, checkpoints, sweeps and exports of an earlier version load and continue."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from commands.conftest import Mfer
from data.layout_trees import write_rafdb

from mfer_lightning import load_model
from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.module import FERModule
from mfer_lightning.nn import MFER, DSAttention

FILES = Path(__file__).parent / "files"
RUN = FILES / "runs" / "rafdb-convnext_atto-ds-dsf-s0-5db1b223"
INTERRUPTED = FILES / "interrupted" / "facs-convnext_tiny-ds-lgm-s0-cf453932"
SWEEP = FILES / "sweeps" / "sweep-158be9fc"

TINY = (
    "backbone.stem=default",
    "backbone.drop_path_rate=0.0",
    "backbone.options={depths:[1,1,1,1],dims:[8,8,8,16]}",
    "attention.kernel_size=3",
    "preprocess.size=32",
    "loader.batch_size=16",
    "loader.num_workers=0",
    "trainer.accelerator=cpu",
    "trainer.precision=32-true",
    "evaluation.embedding_points=0",
)
FACS = (*TINY, "dataset.size=32", "dataset.train_size=32", "dataset.val_size=24", "dataset.test_size=16", "ema=none")


def epochs(path: Path) -> list[dict[str, str]]:
    """Rows of a ``metrics.csv`` without columns that depend on the speed of the machine."""
    with path.open(newline="") as file:
        return [
            {k: v for k, v in row.items() if k not in ("seconds", "images_per_second")} for row in csv.DictReader(file)
        ]


def test_same_command_resumes_an_interrupted_run_to_the_same_metrics(
    mfer: Mfer, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    run = shutil.copytree(INTERRUPTED, tmp_path / "runs" / INTERRUPTED.name)
    assert mfer(*FACS, "loss=lgm", "trainer.max_epochs=3") == 0
    assert "started by an earlier version with attention.norm_eps=1e-06 attention.init=torch" in capsys.readouterr().out
    assert [folder.name for folder in (tmp_path / "runs").iterdir()] == [run.name]
    expected, found = epochs(FILES / "interrupted" / "expected_metrics.csv"), epochs(run / "metrics.csv")
    assert [row["epoch"] for row in found] == ["0", "1", "2"]
    for row, wanted in zip(found, expected, strict=True):
        assert {k: float(v) for k, v in row.items()} == pytest.approx(
            {k: float(v) for k, v in wanted.items()}, rel=1e-4
        )


def test_same_sweep_skips_the_finished_job(mfer: Mfer, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    sweep = shutil.copytree(SWEEP, tmp_path / "sweeps" / SWEEP.name)
    (finished,) = [folder.name for folder in sweep.glob("facs-*")]
    before = (sweep / finished / "result.json").read_bytes()
    assert (
        mfer("-m", *FACS, "trainer.max_epochs=1", "loss=ce,center", "seed=0", "paths.runs=sweeps", "report=false") == 0
    )
    assert (sweep / finished / "result.json").read_bytes() == before
    other = sweep / "facs-convnext_64px-ds-center-s0-ca8a1c97"  # newer versions name it after the backbone choice
    assert json.loads((other / "result.json").read_text())["split"] == "test"
    assert len(list(sweep.glob("facs-*"))) == 2


def test_checkpoint_reproduces_the_predictions_of_its_run(mfer: Mfer, tmp_path: Path) -> None:
    write_rafdb(tmp_path / "data" / "raf-db", train=140)
    assert mfer("evaluate", f"checkpoint={RUN}", "paths.data=data", "output=again") == 0
    kept = Predictions.from_csv(RUN / "predictions_test.csv")
    again = Predictions.from_csv(next((tmp_path / "again").rglob("predictions_test.csv")))
    assert again.path.tolist() == kept.path.tolist()
    np.testing.assert_allclose(again.probabilities, kept.probabilities, atol=2e-3)  # decoded JPEG differs by library


@pytest.mark.parametrize("model", [RUN, FILES / "export_safetensors"], ids=["checkpoint", "safetensors"])
def test_stored_network_keeps_the_attention_epsilon_it_was_trained_with(model: Path) -> None:
    network = load_model(model).classifier.model.network
    assert [m.norm.eps for m in network.modules() if isinstance(m, DSAttention)] == [1e-6, 1e-6]
    assert {k: network.config["attention"][k] for k in ("norm_eps", "init")} == {"norm_eps": 1e-6, "init": "torch"}


def test_loaded_module_keeps_the_epsilon_and_warns_for_a_new_network() -> None:
    checkpoint = RUN / "checkpoints" / "best.ckpt"
    module = FERModule.load_from_checkpoint(checkpoint)
    assert module.network.config["attention"]["norm_eps"] == 1e-6
    today = {**module.network.config["attention"], "norm_eps": 1e-5}
    network = MFER(**{**module.network.config, "attention": today})
    with pytest.warns(UserWarning, match=r"norm_eps 1e-06 \(here 1e-05\)"):
        FERModule.load_from_checkpoint(checkpoint, network=network)


@pytest.mark.parametrize("model", ["run", "export_safetensors", "export_onnx"])
def test_checkpoint_and_exports_agree(model: str) -> None:
    face = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    wanted = _probabilities(RUN, face)
    found = _probabilities(RUN if model == "run" else FILES / model, face)
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def _probabilities(where: Path, face: np.ndarray) -> np.ndarray:
    (found,) = load_model(where).predict(face, aligned=True).faces
    return np.array(list(found.probabilities.values()))


def test_report_reads_runs_of_an_earlier_version(mfer: Mfer, tmp_path: Path) -> None:
    assert mfer("report", f"runs={RUN.parent}", "output=report") == 0
    assert "rafdb@holdout" in (tmp_path / "report" / "report.md").read_text()
