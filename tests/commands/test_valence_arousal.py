"""``valence_arousal=`` through the command line: AffectNet with gaps, methods, selection, exports, photos."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import lightning as L
import numpy as np
import pytest
from commands.conftest import FEW, TINY, Mfer, only_run
from data.layout_trees import write_affectnet_csv, write_class_folders

from mfer_lightning import load_model
from mfer_lightning.callbacks import History
from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.evaluation.valence_arousal import FIGURES
from mfer_lightning.inference.checkpoint import read_checkpoint

CCC = "valence_arousal=ccc"
AFFECTNET = (*TINY, "dataset=affectnet8", "paths.data=.", "trainer.max_epochs=1", "evaluation.embedding_points=0")


def rows_of(table: Path) -> list[dict[str, str]]:
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def affectnet(folder: Path) -> None:
    """Write the csv release, with increasing valence and every fourth face unrated."""
    root = write_affectnet_csv(folder / "affectnet", train=48, val=24)
    for name in ("training.csv", "validation.csv"):
        head, *lines = (root / name).read_text().splitlines()
        for i, line in enumerate(lines):
            start = line.rsplit(",", 2)[0]
            lines[i] = f"{start},-2,-2" if i % 4 == 0 else f"{start},{i / 60 - 0.4:.3f},{(i % 5) / 5 - 0.5:.3f}"
        (root / name).write_text("\n".join([head, *lines]) + "\n")


@pytest.mark.slow
def test_affectnet_with_missing_values_works_with_every_command(
    mfer: Mfer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    affectnet(tmp_path)
    assert mfer("data", "dataset=affectnet8", "paths.data=.", "images=none", "json=true") in (0, 1)
    counted = json.loads(capsys.readouterr().out)["valence_arousal"]
    known = {split: said["valence"]["known"] for split, said in counted.items()}
    assert (known["train"] + known["val"], known["test"]) == (36, 18)  # 48 and 24 faces, every fourth not rated
    assert counted["test"]["valence"]["range"] == [-0.383, -0.017]
    assert mfer("data", "dataset=affectnet8", "paths.data=.", "images=none") in (0, 1)
    assert "Valence and arousal, test: valence known for 18 faces (-0.38 to -0.02)" in capsys.readouterr().out

    assert mfer(*AFFECTNET, CCC, "monitor=ccc", "evaluation.flip=true") == 0
    run = only_run(tmp_path / "runs")
    result = json.loads((run / "result.json").read_text())
    assert set(FIGURES) <= set(result["metrics"])
    assert result["intervals"]["ccc"][0] <= result["metrics"]["ccc"] <= result["intervals"]["ccc"][1]
    assert result["selection"]["monitor"] == "ccc"
    assert "left out of the metrics: valence of 6 and arousal of 6 of 24 faces." in " ".join(result["notes"])
    assert "CCC, valence/arousal" in capsys.readouterr().out
    epoch = rows_of(run / "metrics.csv")[0]
    assert float(epoch["train/valence_arousal"]) > 0
    assert {f"val/{name}" for name in FIGURES} <= set(epoch)
    table = Predictions.from_csv(run / "predictions_test.csv")
    assert np.isnan(table.true_valence_arousal).sum() == 12
    assert np.abs(table.valence_arousal).max() <= 1

    # evaluate gives the same metrics, even from the table alone
    assert mfer("evaluate", f"checkpoint={run}", "paths.data=.", "output=again") == 0
    again = json.loads((tmp_path / "again" / "result.json").read_text())
    assert mfer("evaluate", f"predictions={run / 'predictions_test.csv'}", "output=table") == 0
    alone = json.loads((tmp_path / "table" / "evaluation.json").read_text())
    for name in FIGURES:
        assert again["metrics"][name] == pytest.approx(result["metrics"][name], abs=1e-5)
        assert alone["metrics"][name] == pytest.approx(result["metrics"][name], abs=1e-6)

    # photos: checkpoint and export agree
    photos = tmp_path / "photos"
    photos.mkdir()
    for i, path in enumerate(sorted((tmp_path / "affectnet").rglob("*.jpg"))[:3]):
        (photos / f"{i}.jpg").write_bytes(path.read_bytes())
    assert mfer("export", f"checkpoint={run}", "format=safetensors", "output=exported") == 0
    found = {}
    for name, model in (("run", run), ("export", "exported")):
        options = (f"checkpoint={model}", "source=photos", "aligned=true", f"output={name}", "annotate=true")
        assert mfer("predict", *options) == 0
        found[name] = rows_of(tmp_path / name / "predictions.csv")
        line = json.loads((tmp_path / name / "predictions.jsonl").read_text().splitlines()[0])
        assert line["faces"][0]["valence"] == float(found[name][0]["valence"])
    for one, other in zip(found["run"], found["export"], strict=True):
        assert float(one["valence"]) == pytest.approx(float(other["valence"]), abs=1e-6)
        assert float(one["arousal"]) == pytest.approx(float(other["arousal"]), abs=1e-6)
        assert -1 <= float(one["valence"]) <= 1
    card = (tmp_path / "exported" / "README.md").read_text()
    assert "It also predicts valence" in card
    assert "| CCC, valence/arousal |" in card
    assert "Valence/arousal loss: ccc, weight 1.0" in card
    assert "valence" in str(load_model("exported").predict("photos", aligned=True))

    assert mfer("report", "runs", "output=report") == 0
    assert "CCC, valence/arousal" in (tmp_path / "report" / "report.md").read_text()


@pytest.mark.slow
def test_onnx_file_matches_the_checkpoint_without_torch(mfer: Mfer, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    assert mfer(*FEW, CCC) == 0
    run = only_run(tmp_path / "runs")
    assert mfer("export", f"checkpoint={run}", "format=onnx", "output=onnx") == 0
    said = json.loads((tmp_path / "onnx" / "export.json").read_text())["comparisons"]
    assert all(0 <= one["valence_arousal_difference"] < 1e-4 for one in said)
    faces = np.random.default_rng(0).integers(0, 256, (5, 40, 36, 3), dtype=np.uint8)
    ours = load_model(run).classifier.classify(faces)
    theirs = load_model("onnx").classifier.classify(faces)
    assert len(ours) == len(theirs) == 3
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "method", [("scn", "method.relabel_epoch=1"), ("eac",), ("rul",), ("coteaching", "loss=ce")], ids=lambda m: m[0]
)
def test_methods_train_valence_arousal_with_their_own_terms(
    mfer: Mfer, tmp_path: Path, method: tuple[str, ...]
) -> None:
    name, *options = method
    assert mfer(*FEW, CCC, f"method={name}", *options) == 0
    epochs = rows_of(only_run(tmp_path / "runs") / "metrics.csv")
    assert all(float(row["train/valence_arousal"]) > 0 and row["val/ccc"] for row in epochs)


@pytest.mark.slow
def test_resumed_run_matches_an_uninterrupted_one(mfer: Mfer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = (*FEW, CCC, "mixup=default")
    with monkeypatch.context() as patch:
        patch.setattr(History, "on_train_epoch_start", _stop_in_second_epoch)
        with pytest.raises(RuntimeError, match="stopped for a test"):
            mfer(*options, "paths.runs=continued")
    weights = []
    for folder in ("whole", "continued"):
        assert mfer(*options, f"paths.runs={folder}") == 0
        run = only_run(tmp_path / folder)
        assert len(rows_of(run / "metrics.csv")) == 2
        weights.append(read_checkpoint(run / "checkpoints" / "last.ckpt")["state_dict"])
    assert weights[0].keys() == weights[1].keys()
    for name, weight in weights[0].items():
        np.testing.assert_array_equal(weight.numpy(), weights[1][name].numpy(), err_msg=name)


def _stop_in_second_epoch(history: History, trainer: L.Trainer, module: L.LightningModule) -> None:
    history._train_seconds = history._images = 0
    if trainer.current_epoch == 1:
        raise RuntimeError("stopped for a test")


@pytest.mark.slow
def test_missing_values_or_head_are_rejected(mfer: Mfer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_class_folders(tmp_path / "affectnet", {"train": 48, "val": 24})
    assert mfer(*AFFECTNET, CCC) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "affectnet8 (class folders) has no valence and arousal, so they cannot be learned" in said
    assert mfer(*FEW, "monitor=ccc") == 2
    assert "monitor=ccc" in capsys.readouterr().err
    assert mfer(*FEW, CCC, "valence_arousal.weight=-1") == 2
    assert "valence_arousal_weight" in capsys.readouterr().err
    assert mfer(*FEW, CCC, "valence_arousal.loss._target_=os.system") == 2
    assert "valence_arousal.loss names `os.system`" in " ".join(capsys.readouterr().err.split())
    assert mfer(*FEW, "valence_arousal=cc") == 2
    capsys.readouterr()
    assert mfer("dataset=facs", "network=dan", CCC) == 2
    assert "the network does not predict them (it returns feature, " in " ".join(capsys.readouterr().err.split())
