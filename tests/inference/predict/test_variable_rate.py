"""A screen recording: frames at irregular times are all read, and copied at the right speed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from inference.predict.files.generate import FOLDER, TIMES

from mfer_lightning.errors import UserError
from mfer_lightning.inference.media import video
from mfer_lightning.inference.media.video import Frames, video_writer

SECONDS = [time / 1000 for time in TIMES]


def shades(path: Path) -> list[float]:
    """The shade of grey of every frame of a copy."""
    return [float(frame.image[:60, :50].mean()) for frame in Frames(path)]


def shade_at(time: float) -> float:
    """The shade of grey in the recording at a time."""
    return 10 * (sum(one <= time for one in SECONDS) - 1)


def test_all_frames_are_read_without_a_truncation_warning() -> None:
    frames = Frames(FOLDER / "screen.webm")
    assert frames.promised > 6000, "length times nominal rate"
    assert [frame.time for frame in frames] == pytest.approx(SECONDS, abs=0.002)
    assert frames.message == ""


def test_frames_are_sampled_at_the_chosen_rate_also_after_a_pause() -> None:
    frames = Frames(FOLDER / "screen.webm", fps=5.0)
    times = [frame.time for frame in frames]
    assert frames.message == ""
    assert frames.expected == 30
    assert times[0] == 0
    assert min(np.diff(times)) > 0.09
    assert len(times) < 15, "4.4 and 4.433 s, after the pause, are not both wanted"


def test_truncated_recording_is_reported(tmp_path: Path) -> None:
    whole = (FOLDER / "screen.webm").read_bytes()
    (tmp_path / "cut.webm").write_bytes(whole[: int(0.6 * len(whole))])
    frames = Frames(tmp_path / "cut.webm")
    assert 0 < len(list(frames)) < len(TIMES)
    assert "truncated" in frames.message
    assert "of 6.0 seconds" in frames.message


@pytest.mark.parametrize(("fps", "rate"), [("null", 60), ("5", 5)])
def test_annotated_copy_keeps_the_timing_of_the_recording(
    fps: str, rate: int, mfer: Callable[..., int], run: Path, tmp_path: Path
) -> None:
    command = ("predict", f"checkpoint={run}", f"source={FOLDER / 'screen.webm'}", f"video.fps={fps}", "device=cpu")
    assert mfer(*command, "annotate=true") == 0
    output = tmp_path / "predictions" / "screen.webm"
    found = [json.loads(line) for line in (output / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {line["status"] for line in found} == {"no face"}
    assert {line["message"] for line in found} == {""}
    seen = shades(output / "annotated.mp4")
    assert cv2.VideoCapture(str(output / "annotated.mp4")).get(cv2.CAP_PROP_FPS) == pytest.approx(rate)
    assert len(seen) == pytest.approx(6 * rate + 1, abs=1)
    taken = [line["time"] for line in found]
    for number, shade in enumerate(seen):
        around = [number / rate - 0.5 / rate, number / rate + 0.5 / rate]
        expected = [shade_at(max(time for time in taken if time <= max(0, at) + 1e-3)) for at in around]
        assert expected[0] - 4 <= shade <= expected[1] + 4


def test_writer_repeats_and_drops_frames_to_keep_the_rate(tmp_path: Path) -> None:
    with video_writer(tmp_path / "a.mp4", 10.0, 160, 120) as write:
        for time, shade in [(2.0, 0), (2.1, 50), (2.12, 200), (2.5, 100)]:
            write(np.full((120, 160, 3), shade, np.uint8), time)
    assert shades(tmp_path / "a.mp4") == pytest.approx([0, 50, 50, 50, 50, 100], abs=4)


def test_incomplete_video_is_rejected_if_the_disk_is_not_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "_is_whole", lambda _: False)
    words = r"a\.mp4: OpenCV wrote an incomplete video.*leave out annotate=true"
    with pytest.raises(UserError, match=words), video_writer(tmp_path / "a.mp4", 10.0, 160, 120) as write:
        write(np.zeros((120, 160, 3), np.uint8))
    assert not list(tmp_path.iterdir())
