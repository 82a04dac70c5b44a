"""A full disk at every stage of writing a report, an export, predictions or a cache."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from faults.conftest import Fill
from faults.faces import write_photo
from reporting.fabricate import write_run

from mfer_lightning.data.images.cache import build_cache
from mfer_lightning.errors import UserError
from mfer_lightning.figures.annotate import write_picture
from mfer_lightning.inference.media.video import video_writer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

#: Free space as a fraction of the output of a command.
SHARES = (0.0, 0.02, 0.2, 0.5, 0.8, 0.95)

Mfer = Callable[..., int]


def contents(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of a folder, including hidden files."""
    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def whole(found: dict[str, str], wanted: dict[str, str]) -> bool:
    return all(wanted.get(name) == digest for name, digest in found.items())


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for number in range(60):
        write_photo(folder / f"{number:02}.png", number)
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reported") / "two"
    for loss in ("ce", "dsf"):
        write_run(folder, loss, n=70, features=False)
    return folder


COMMANDS = {
    "report": ("report", "{runs}", "embedding=none"),
    "safetensors": ("export", "checkpoint={run}"),
    "onnx": ("export", "checkpoint={run}", "format=onnx", "faces=0"),
    "predict": ("predict", "{photos}", "checkpoint={run}", "aligned=true", "annotate=true", "device=cpu"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_output_is_complete_or_missing_and_the_same_command_completes_it(
    name: str,
    mfer: Mfer,
    runs: Path,
    run: Path,
    photos: Path,
    small_disk: Path,
    fill: Fill,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    command = [words.format(runs=runs, run=run, photos=photos) for words in COMMANDS[name]]
    assert mfer(*command, f"output={small_disk / 'before'}") == 0
    before = contents(small_disk / "before")
    size = sum(file.stat().st_size for file in (small_disk / "before").rglob("*") if file.is_file())
    capsys.readouterr()
    failed = 0
    for share in SHARES:
        output = small_disk / f"after{share}"
        ballast = fill(int(share * size))
        code = mfer(*command, f"output={output}")
        said = capsys.readouterr().err
        ballast.unlink()
        assert code in (0, 2), said
        failed += code == 2
        if code == 2:
            errors = [line for line in said.splitlines() if "rror" in line]
            assert len(errors) == 1, said
            assert "No space left on device" in errors[0] or "too full" in errors[0], said
            assert "Traceback" not in said
        assert contents(small_disk / "before") == before
        assert mfer(*command, f"output={output}") == 0, f"after {share}: {capsys.readouterr().err}"
        after = contents(output)
        assert after.keys() == before.keys(), share
        if name in ("predict", "safetensors"):  # reports and graphs contain the time or the path
            assert after == before, share
        assert not [file for file in small_disk.iterdir() if file.name.startswith(".")]
        for file in sorted(output.rglob("*"), reverse=True):
            file.rmdir() if file.is_dir() else file.unlink()
        output.rmdir()
    assert failed >= 3


class Noise:
    """A source of distinct images."""

    def __len__(self) -> int:
        return 4000

    def name(self, row: int) -> str:
        return f"{row}"

    def fingerprint(self, rows: np.ndarray) -> str:
        return "0" * 32

    def read(self, row: int) -> np.ndarray:
        return np.random.default_rng(row).integers(0, 255, (32, 32, 3), dtype=np.uint8)


def test_cache_is_complete_or_missing(small_disk: Path, fill: Fill, monkeypatch: pytest.MonkeyPatch) -> None:
    """The initial check of free space is disabled, because the disk may also fill up after the check."""
    monkeypatch.setattr("mfer_lightning.data.images.cache.RESERVE_BYTES", -(1 << 40))
    rows = np.arange(len(Noise()))
    for room in (0, 4096, 1 << 20, 10 << 20):
        ballast = fill(room)
        with pytest.raises(UserError, match=r"Cannot write the image cache .*No space left on device"):
            build_cache(Noise(), rows, small_disk / "cache", "x", 2)
        assert [file.name for file in (small_disk / "cache").glob("*") if file.suffix != ".lock"] == []
        ballast.unlink()
    images = np.load(build_cache(Noise(), rows, small_disk / "cache", "x", 2), mmap_mode="r")
    assert all((images[row] == Noise().read(row)).all() for row in (0, 1999, 3999))


def test_truncated_picture_is_rejected(small_disk: Path, fill: Fill) -> None:
    """Pillow writes JPEG files in C, and treats an incomplete last write as complete."""
    picture = np.random.default_rng(0).integers(0, 255, (400, 400, 3), dtype=np.uint8)
    write_picture(small_disk / "whole.jpg", picture)
    wanted = (small_disk / "whole.jpg").read_bytes()
    for pages in range(1, 1 + len(wanted) // 4096):
        ballast = fill(pages * 4096)
        with pytest.raises(UserError, match="No space left on device"):
            write_picture(small_disk / "cut.jpg", picture)
        ballast.unlink()
        assert [file.name for file in small_disk.iterdir()] == ["whole.jpg"]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.99])
def test_truncated_video_is_rejected(share: float, small_disk: Path, fill: Fill, tmp_path: Path) -> None:
    def write(path: Path) -> None:
        with video_writer(path, 5, 320, 240) as frame:
            for number in range(60):
                frame(np.random.default_rng(number).integers(0, 255, (240, 320, 3), dtype=np.uint8))

    write(tmp_path / "whole.mp4")
    fill(int(share * (tmp_path / "whole.mp4").stat().st_size))
    with pytest.raises(UserError, match="No space left on device"):
        write(small_disk / "cut.mp4")
    assert [file.name for file in small_disk.iterdir()] == ["ballast"]
