"""Damaged videos in the usual containers give frames or one error message."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from fuzzing.campaign import SLOW, Kind, survives
from fuzzing.mutations import Draw, edited_bytes
from fuzzing.planted import FAULTS, found

from mfer_lightning.errors import UserError
from mfer_lightning.inference.media import video
from mfer_lightning.inference.media.photos import Picture

FRAMES = 12
#: File extension -> codec.
VIDEOS = {
    **dict.fromkeys(("mp4", "mov", "mkv", "3gp", "mts"), "mp4v"),
    **{"avi": "MJPG", "webm": "VP80", "wmv": "WMV2", "m4v": "XVID"},
}
QUICK_EACH, QUICK = 7, ("mp4", "avi", "webm")


def damage(draw: Draw, path: Path) -> None:
    """Change bytes, half of them in the header or the index at the end."""
    content = path.read_bytes()
    path.write_bytes(edited_bytes(draw, content, [range(600), range(len(content) - 900, len(content))]))


def read(path: Path) -> list[Picture]:
    """Read all frames; reject a video without frames with the message of its result row."""
    frames = video.Frames(path)
    pictures = list(frames)
    if not pictures:
        raise UserError(f"{frames.name}: {frames.message}")
    return pictures


def check(pictures: list[Picture]) -> str:
    """Return what is wrong with the frames."""
    if len(pictures) > 1_000 * FRAMES:  # damage repeats up to three parts up to fifty times each
        return f"{len(pictures)} frames of {FRAMES}"
    images = [picture.image for picture in pictures]
    if any(image is None or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 for image in images):
        return "a frame that is not an image"
    times = [picture.time for picture in pictures]
    return "" if all(isinstance(time, float) and np.isfinite(time) for time in times) else f"times {times}"


def kind_of(ending: str, folder: Path) -> Kind:
    """One container as a kind of input."""
    path = folder / f"clip.{ending}"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*VIDEOS[ending]), 10, (64, 48))
    if not writer.isOpened():
        pytest.skip(f"this OpenCV cannot write {ending}")
    for number in range(FRAMES):
        writer.write(np.full((48, 64, 3), 20 * number, np.uint8))
    writer.release()
    return Kind(path, damage, read, check, f"{video.__name__}:_open", _Endless)


class _Endless:
    """A capture with many more frames than the file has."""

    def __init__(self, capture: cv2.VideoCapture) -> None:
        self.get, self.release, self.isOpened = capture.get, capture.release, lambda: True
        self.grab = iter([True] * 1_500 * FRAMES + [False]).__next__

    def retrieve(self) -> tuple[bool, np.ndarray]:
        return True, np.zeros((4, 4, 3), np.uint8)


@pytest.mark.parametrize(
    ("ending", "count"),
    [*((name, QUICK_EACH) for name in QUICK), *(pytest.param(n, SLOW, marks=pytest.mark.slow) for n in VIDEOS)],
)
def test_damaged_video_is_read_or_rejected(ending: str, count: int, tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "damaged").mkdir()
    survives(kind_of(ending, tmp_path / "whole"), tmp_path / "damaged", count)


@pytest.mark.parametrize("fault", FAULTS)
def test_harness_detects_a_planted_fault(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "damaged").mkdir()
    assert found(kind_of("avi", tmp_path / "whole"), fault, tmp_path / "damaged", monkeypatch)
