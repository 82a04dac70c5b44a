"""An interrupted `mfer predict` continues with the batches of an uninterrupted one, so that all digits agree."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from inference.predict.conftest import write

from mfer_lightning import predict
from mfer_lightning.inference.predict.journal import Journal
from mfer_lightning.inference.predictor import Output, Pixels, Predictor
from mfer_lightning.inference.results import OK, Face, Prediction

PHOTOS, BATCH = 7, 3


@pytest.fixture
def photos(tmp_path: Path, portrait: np.ndarray) -> Path:
    for number in range(PHOTOS):
        write(tmp_path / "photos" / f"{number}.png", portrait)
    return tmp_path / "photos"


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of faces in each batch."""
    found: list[int] = []
    classify = Predictor.classify

    def counted(model: Predictor, crops: list[Pixels]) -> Output:
        found.append(len(crops))
        return classify(model, crops)

    monkeypatch.setattr(Predictor, "classify", counted)
    return found


@pytest.mark.parametrize(("done", "batches"), [(1, [3, 3, 1]), (3, [3, 1]), (5, [3, 1]), (6, [1]), (7, [])])
def test_interrupted_prediction_repeats_its_last_batch(
    done: int, batches: list[int], photos: Path, run: Path, tmp_path: Path, sizes: list[int]
) -> None:
    def start(output: Path) -> bytes:
        sizes.clear()
        predict(photos, checkpoint=run, aligned=True, batch_size=BATCH, device="cpu", output=output)
        return (output / "predictions.jsonl").read_bytes()

    whole = start(tmp_path / "alone")
    assert sizes == [3, 3, 1]
    start(tmp_path / "killed")
    lines = whole.splitlines(keepends=True)
    (tmp_path / "killed" / "predictions.jsonl").write_bytes(b"".join(lines[:done]) + lines[-1][:20])
    assert start(tmp_path / "killed") == whole
    assert sizes == batches


def test_folder_of_an_earlier_version_keeps_all_its_lines(tmp_path: Path) -> None:
    one = Prediction("a.png", status=OK, faces=(Face(0, {"joy": 1.0}),))
    with Journal(tmp_path, {}, ("joy",)) as journal:
        for key in "abc":
            journal.append(key, one)
    assert all("batch_continues" not in json.loads(line) for line in journal.path.read_text().splitlines())
    with Journal(tmp_path, {}, ("joy",)) as journal:
        assert list(journal.done()) == ["a", "b", "c"]
