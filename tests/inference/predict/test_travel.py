"""The alignment of the training faces is stored in the checkpoint and applied to photos."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from align.conftest import SquareDetector, photo
from commands.conftest import TINY, only_run
from data.trees import write_ferplus
from inference.predict.conftest import save_run
from PIL import Image

from mfer_lightning import load_model
from mfer_lightning.align import DETECTORS
from mfer_lightning.align.stored_alignment import build_stored_aligner, describe_alignment
from mfer_lightning.errors import UserError
from mfer_lightning.inference.checkpoint import read_checkpoint

Mfer = Callable[..., int]
QUIET = ("logger=none", "evaluation.embedding_points=0", "trainer.max_epochs=1")


@pytest.fixture
def squares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mfer_lightning.align.detectors.DETECTORS", {**DETECTORS, "squares": SquareDetector})


def write(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image[:, :, ::-1])


def checkpoint_of(folder: Path) -> dict:
    return read_checkpoint(only_run(folder) / "checkpoints" / "best.ckpt")["mfer"]


@pytest.mark.usefixtures("squares")
def test_predict_repeats_the_alignment_of_mfer_align(mfer: Mfer, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for split, count in (("train", 8), ("val", 4)):
        for emotion in ("anger", "fear"):
            for i in range(count):
                image = photo((20 + i, 15, 60 + 2 * i), width=160, height=120)
                write(tmp_path / "photos" / split / emotion / f"{i}.png", image ^ rng.integers(0, 4, 3, np.uint8))
    align = ("detector.name=squares", "refine=0", "template=face-evolve-96x112", "margin=0.25", "format=png")
    assert mfer("align", "source=photos", "output=faces", "border=mirror", *align) == 0
    for split in ("train", "val"):  # named by `mfer align`, in the class folders
        assert (tmp_path / "faces" / split / "fear" / "0_aligned.png").is_file()
    own = ("dataset=folder", "dataset.root=faces", *TINY, *QUIET, "loader.batch_size=8")
    assert mfer(*own) == 0

    run = only_run(tmp_path / "runs")
    stored = checkpoint_of(tmp_path / "runs")
    assert stored["alignment"] == {
        "origin": "alignment.json",
        "note": "",
        "size": 32,
        "template": "face-evolve-96x112@1",
        "height": 112,
        "margin": 0.25,
        "border": "mirror",
        "refine": 0,
        "detector": {"name": "squares"},
    }
    assert stored["preprocess"]["alignment"] == "face-evolve-96x112@1"
    assert stored["preprocess"]["grey"] is False

    model = load_model(run, "cpu")
    assert model.notes == ()
    photos = sorted((tmp_path / "photos" / "val").rglob("*.png"))
    faces = sorted((tmp_path / "faces" / "val").rglob("*.png"))
    from_photos, from_faces = model.predict(photos), model.predict(faces, aligned=True)
    for one, other in zip(from_photos.faces, from_faces.faces, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-6)

    model.classifier.model.save_pretrained(tmp_path / "export")
    exported = load_model(tmp_path / "export", "cpu")
    assert exported.alignment == model.alignment
    assert exported.classifier.identity() == model.classifier.identity()
    for one, other in zip(exported.predict(photos).faces, from_photos.faces, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-6)


@pytest.mark.slow
def test_greyscale_model_receives_greyscale_faces(mfer: Mfer, tmp_path: Path) -> None:
    write_ferplus(tmp_path / "data" / "ferplus")
    own = ("dataset=ferplus", "paths.data=data", *TINY, *QUIET, "loader.batch_size=4", "dataset.protocol=dev")
    assert mfer(*own) == 0
    stored = checkpoint_of(tmp_path / "runs")
    assert stored["preprocess"]["grey"] is True
    assert (stored["alignment"]["origin"], stored["alignment"]["template"]) == ("approximation", "ferplus-48@1")
    model = load_model(only_run(tmp_path / "runs"), "cpu")
    assert "approximation" in model.notes[0]
    colour = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    grey = np.asarray(Image.fromarray(colour).resize((32, 32)).convert("L"))
    small = np.asarray(Image.fromarray(colour).resize((32, 32)))
    (one,), (other,) = model.predict(small, aligned=True).faces, model.predict(grey, aligned=True).faces
    assert one.probabilities == pytest.approx(other.probabilities, abs=1e-7)


def test_checkpoint_without_alignment_reports_the_assumption(tmp_path: Path) -> None:
    run = save_run(tmp_path / "old", alignment=None, dataset="ferplus", config={"dataset": {"size": 48}})
    stored = read_checkpoint(run / "checkpoints" / "best.ckpt")
    del stored["mfer"]["preprocess"]["grey"]
    torch.save(stored, tmp_path / "older.ckpt")
    model = load_model(tmp_path / "older.ckpt", "cpu")
    assert model.classifier.model.preprocess.grey
    assert model.alignment["template"] == "ferplus-48@1"
    assert model.alignment["height"] == 48
    unknown = load_model(save_run(tmp_path / "unknown", alignment=None, dataset="rafdb"), "cpu")
    assert "the alignment of the faces of rafdb is not recorded" in unknown.notes[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"height": 10**9},
        {"height": "tall"},
        {"template": "nothing"},
        {"margin": None},
        {"border": "pink"},
        {"detector": "mtcnn"},
        {"detector": {"name": "os.system"}},
        {"refine": -1},
    ],
)
def test_invalid_alignment_raises_one_clear_error(changes: dict) -> None:
    with pytest.raises(UserError):
        build_stored_aligner({**describe_alignment(None, "ferplus", 48, "ferplus-48"), **changes})


def test_impossible_alignment_size_is_rejected(tmp_path: Path) -> None:
    run = save_run(tmp_path / "run", alignment={**describe_alignment(None, "facs", 64, "facs-64"), "size": 10**6})
    with pytest.raises(UserError, match="is damaged"):
        load_model(run, "cpu").predict(np.zeros((8, 8, 3), np.uint8), aligned=True)


@pytest.mark.slow
def test_onnx_file_has_the_alignment_of_the_checkpoint(
    run: Path, portrait: np.ndarray, mfer: Mfer, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    assert mfer("export", f"checkpoint={run}", "format=onnx", f"output={tmp_path / 'onnx'}") == 0
    ours, theirs = load_model(run, "cpu"), load_model(tmp_path / "onnx")
    assert theirs.alignment == ours.alignment
    for one, other in zip(theirs.predict(portrait).faces, ours.predict(portrait).faces, strict=True):
        assert one.box == other.box
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-4)
    with pytest.raises(UserError, match="run only on the CPU"):
        load_model(tmp_path / "onnx", "cuda")
