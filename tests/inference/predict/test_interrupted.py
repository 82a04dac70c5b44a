"""An interrupted `mfer predict` continues with the batches of an uninterrupted one, so that all digits agree."""

from __future__ import annotations

import json
import shutil
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from inference.predict.conftest import write

from mfer_lightning import predict
from mfer_lightning.inference.media import detect_faces
from mfer_lightning.inference.media.photos import Picture, pictures, read_photo
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


@pytest.mark.parametrize("changed", [(5, 6), (2, 5, 6)])
def test_prediction_of_changed_photos_can_be_interrupted(
    changed: tuple[int, ...],
    photos: Path,
    portrait: np.ndarray,
    run: Path,
    tmp_path: Path,
    sizes: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The last photos of finished batches are predicted again; the other photos of these batches are not."""

    def start(output: Path) -> bytes:
        sizes.clear()
        predict(photos, checkpoint=run, aligned=True, batch_size=BATCH, device="cpu", output=output)
        return (output / "predictions.jsonl").read_bytes()

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    start(tmp_path / "alone")
    shutil.copytree(tmp_path / "alone", tmp_path / "killed")
    for number in changed:
        write(photos / f"{number}.png", portrait[:, ::-1])
    whole = start(tmp_path / "alone")
    assert sizes == [len(changed)]
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "append", interrupt)
        with pytest.raises(KeyboardInterrupt):
            start(tmp_path / "killed")
    assert start(tmp_path / "killed") == whole
    assert sizes == [len(changed)]


def test_result_of_a_photo_that_was_removed_after_the_interruption_is_kept(
    photos: Path, run: Path, tmp_path: Path, sizes: list[int]
) -> None:
    options: dict[str, Any] = {"aligned": True, "batch_size": BATCH, "device": "cpu", "output": tmp_path / "out"}
    predict(photos, checkpoint=run, **options)
    path = tmp_path / "out" / "predictions.jsonl"
    before = path.read_bytes().splitlines()
    path.write_bytes(b"".join(line + b"\n" for line in before[:5]))
    (photos / "3.png").unlink()
    sizes.clear()
    predict(photos, checkpoint=run, **options)
    assert sizes == [3]
    after = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert [line["key"] for line in after] == [f"{number}.png" for number in range(PHOTOS)]
    assert after[3] == {name: value for name, value in json.loads(before[3]).items() if name != "batch_continues"}


@pytest.fixture
def tracked() -> tuple[Callable[[Picture], Picture], list[int]]:
    """A function that tracks the pixels of a picture, and the number of earlier pictures still in memory each time."""
    known: list[weakref.ref[np.ndarray]] = []
    alive: list[int] = []

    def track(picture: Picture) -> Picture:
        alive.append(sum(reference() is not None for reference in known))
        assert picture.image is not None
        known.append(weakref.ref(picture.image))
        return picture

    return track, alive


def test_pixels_of_a_finished_batch_are_released(
    tracked: tuple[Callable[[Picture], Picture], list[int]], photos: Path, model: Predictor
) -> None:
    track, alive = tracked
    for result in model.stream(map(track, pictures(photos)), aligned=True, keep_image=True, most_waiting=BATCH):
        del result
    assert len(alive) == PHOTOS
    assert max(alive) < BATCH


def test_pixels_of_an_annotated_batch_are_released(
    tracked: tuple[Callable[[Picture], Picture], list[int]],
    photos: Path,
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    track, alive = tracked
    monkeypatch.setattr(detect_faces, "read_photo", lambda path, most: track(read_photo(path, most)))
    options: dict[str, Any] = {"aligned": True, "annotate": True, "batch_size": BATCH, "device": "cpu"}
    predict(photos, checkpoint=run, output=tmp_path / "out", **options)
    assert len(alive) == PHOTOS
    assert max(alive) < BATCH


def test_folder_of_an_earlier_version_keeps_all_its_lines(tmp_path: Path) -> None:
    one = Prediction("a.png", status=OK, faces=(Face(0, {"joy": 1.0}),))
    with Journal(tmp_path, {}, ("joy",)) as journal:
        for key in "abc":
            journal.append(key, one)
    assert all("batch_continues" not in json.loads(line) for line in journal.path.read_text().splitlines())
    with Journal(tmp_path, {}, ("joy",)) as journal:
        assert list(journal.done()) == ["a", "b", "c"]
