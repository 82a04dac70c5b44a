"""Folders that are read-only from the start or become so, and folders that vanish."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from commands.conftest import FEW, only_run
from commands.conftest import few_run as few_run
from commands.test_kills import check_whole, final_weights
from faults.faces import write_photo
from faults.test_full_disk import Noise
from reporting.fabricate import write_run

from mfer_lightning.data.images.cache import build_cache
from mfer_lightning.errors import UserError
from mfer_lightning.inference.predictor import Predictor
from mfer_lightning.module import FERModule

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

Mfer = Callable[..., int]


def remount(disk: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(disk)], check=True)


@contextmanager
def at_the_second_epoch(what: Callable[[], object]) -> Iterator[None]:
    """Call a function when the second epoch of a training run starts."""
    begin = FERModule.on_train_epoch_start

    def on_train_epoch_start(self: FERModule) -> None:
        begin(self)
        if self.current_epoch == 1:
            what()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FERModule, "on_train_epoch_start", on_train_epoch_start)
        yield


def sentence(capsys: pytest.CaptureFixture) -> str:
    said = capsys.readouterr().err
    errors = [line for line in said.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1, said
    assert "Traceback" not in said
    assert "Logging error" not in said
    return errors[0]


COMMANDS = {
    "train": (*FEW, "paths.runs={disk}/runs"),
    "sweep": (*FEW, "-m", "seed=0,1", "paths.runs={disk}/runs"),
    "cache": (*FEW, "paths.runs={work}/runs", "paths.cache={disk}/cache", "seed=3", "dataset.data_seed=3"),
    "predict": ("predict", "{photos}", "checkpoint={run}", "aligned=true", "output={disk}/out"),
    "export": ("export", "checkpoint={run}", "output={disk}/out"),
    "onnx": ("export", "checkpoint={run}", "format=onnx", "faces=0", "output={disk}/out"),
    "report": ("report", "{runs}", "embedding=none", "output={disk}/out"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_read_only_folder_raises_one_clear_error(
    name: str, mfer: Mfer, small_disk: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    places = {"disk": small_disk, "work": tmp_path, "run": run, "photos": tmp_path / "photos", "runs": tmp_path / "two"}
    places["photos"].mkdir()
    write_photo(places["photos"] / "a.png", 1)
    for loss in ("ce", "dsf"):
        write_run(places["runs"], loss, n=70, features=False)
    remount(small_disk, "ro")
    command = [words if "depths" in words else words.format(**places) for words in COMMANDS[name]]
    assert mfer(*command) == 2
    assert "Read-only file system" in sentence(capsys)
    assert list(small_disk.iterdir()) == []


def test_folder_that_becomes_read_only_stops_the_run_which_resumes_exactly(
    mfer: Mfer, small_disk: Path, few_run: Path, capsys: pytest.CaptureFixture
) -> None:
    runs = small_disk / "runs"
    runs.mkdir()

    def close() -> None:
        """Make the disk read-only for files opened from now on, as after a disk error."""
        subprocess.run(["mount", "--bind", str(runs), str(runs)], check=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", str(runs)], check=True)

    with at_the_second_epoch(close):
        code = mfer(*FEW, f"paths.runs={runs}")
    subprocess.run(["umount", "--lazy", str(runs)], check=True)
    assert code == 2
    assert "Read-only file system" in sentence(capsys)
    check_whole(only_run(runs))
    assert mfer(*FEW, f"paths.runs={runs}") == 0
    mine, theirs = (final_weights(folder) for folder in (only_run(runs), few_run))
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)


def test_cache_on_a_read_only_disk_can_be_read(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mfer_lightning.data.images.cache.RESERVE_BYTES", 0)
    rows = torch.arange(40).numpy()
    path = build_cache(Noise(), rows, small_disk, "x", 1)
    remount(small_disk, "ro")
    assert build_cache(Noise(), rows, small_disk, "x", 1) == path
    with pytest.raises(UserError, match="Cannot write the image cache"):
        build_cache(Noise(), rows, small_disk, "another", 1)


def test_run_whose_folder_vanishes_stops_and_the_same_command_restarts_it(
    mfer: Mfer, tmp_path: Path, few_run: Path, capsys: pytest.CaptureFixture
) -> None:
    options = (*FEW, f"paths.runs={tmp_path / 'runs'}")
    with at_the_second_epoch(lambda: shutil.rmtree(tmp_path / "runs")):
        assert mfer(*options) == 2
    assert "was deleted during training" in sentence(capsys)
    assert mfer(*options) == 0
    mine, theirs = (final_weights(folder) for folder in (only_run(tmp_path / "runs"), few_run))
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)


def test_photos_that_vanish_are_reported_as_rows(
    mfer: Mfer, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(6):
        write_photo(photos / f"{number}.png", number)
    finder = Predictor.finder

    def vanish(self: Predictor, *arguments: object, **options: object) -> object:
        for number in (3, 4, 5):
            (photos / f"{number}.png").unlink(missing_ok=True)
        return finder(self, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Predictor, "finder", vanish)
    assert mfer("predict", str(photos), f"checkpoint={run}", "aligned=true", f"output={tmp_path / 'out'}") == 0
    rows = (tmp_path / "out" / "predictions.csv").read_text().splitlines()
    assert [",ok," in row for row in rows[1:]] == [True] * 3 + [False] * 3
    assert all("unreadable" in row and "there is no such file" in row for row in rows[4:])
