"""`mfer predict` on a video made from the portrait, on damaged videos, and on a missing camera."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mfer_lightning.errors import UserError
from mfer_lightning.inference.media import video as video_module
from mfer_lightning.inference.media.video import Frames, is_camera, video_writer

RATE, LENGTH = 10.0, 20
Mfer = Callable[..., int]


def moved(portrait: np.ndarray, number: int) -> np.ndarray:
    """A frame of 352 x 256 in which the portrait moves by 4 pixels per frame."""
    frame = np.full((256, 352, 3), 230, np.uint8)
    frame[:, 4 * number : 4 * number + 256] = portrait
    return frame


def write_video(path: Path, portrait: np.ndarray, code: str = "mp4v", frames: int = LENGTH) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), RATE, (352, 256))
    assert writer.isOpened()
    for number in range(frames):
        writer.write(np.ascontiguousarray(moved(portrait, number)[:, :, ::-1]))
    writer.release()
    return path


def lines(output: Path) -> list[dict]:
    return [json.loads(line) for line in (output / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, portrait: np.ndarray) -> Path:
    return write_video(tmp_path_factory.mktemp("clips") / "clip 1.mp4", portrait)


@pytest.fixture
def watched(mfer: Mfer, run: Path, clip: Path, tmp_path: Path) -> Path:
    """The results of half the frames, annotated."""
    assert mfer("predict", f"checkpoint={run}", f"source={clip}", "video.fps=5", "annotate=true", "device=cpu") == 0
    return tmp_path / "predictions" / clip.name


def test_video_gives_sampled_frames_one_person_and_summary_plots(
    watched: Path, mfer: Mfer, run: Path, clip: Path, capsys: pytest.CaptureFixture
) -> None:
    found = lines(watched)
    assert [line["frame"] for line in found] == list(range(0, LENGTH, 2))
    assert [line["time"] for line in found] == pytest.approx([n / RATE for n in range(0, LENGTH, 2)], abs=0.02)
    assert {line["status"] for line in found} == {"ok"}
    faces = [line["faces"][0] for line in found]
    assert {face["track"] for face in faces} == {1}
    assert faces[-1]["box"][0] - faces[0]["box"][0] == pytest.approx(4 * (LENGTH - 2), abs=10)

    raw = np.array([list(face["probabilities"].values()) for face in faces])
    smooth = np.array([list(face["smoothed"].values()) for face in faces])
    np.testing.assert_allclose(smooth.sum(1), 1, atol=1e-5)
    kept = np.exp(-0.2 / 0.5)
    expected = [raw[0]]
    for row in raw[1:]:
        expected.append(kept * expected[-1] + (1 - kept) * row)
    np.testing.assert_allclose(smooth, expected, atol=5e-3)  # times are rounded

    with (watched / "predictions.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["frame"] for row in table] == [str(line["frame"]) for line in found]
    assert {"track", "smoothed_fear", "time"} < set(table[0])
    assert Image.open(watched / "timeline_1.png").size[0] > 1000
    capture = cv2.VideoCapture(str(watched / "annotated.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == len(found)
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(5)

    before = (watched / "predictions.jsonl").read_bytes()
    capsys.readouterr()
    assert mfer("predict", f"checkpoint={run}", f"source={clip}", "video.fps=5", "annotate=true", "device=cpu") == 0
    assert "This video was already done" in capsys.readouterr().out
    assert (watched / "predictions.jsonl").read_bytes() == before
    assert mfer("predict", f"checkpoint={run}", f"source={clip}", "video.fps=2", "device=cpu") == 2
    assert "video was" in capsys.readouterr().err
    (watched / "predictions.jsonl").write_bytes(before[: len(before) // 2])  # missing lines are detected
    assert mfer("predict", f"checkpoint={run}", f"source={clip}", "video.fps=5", "annotate=true", "device=cpu") == 0
    assert len((watched / "predictions.jsonl").read_bytes().splitlines()) == len(before.splitlines())


@pytest.mark.parametrize(
    ("content", "words"), [(b"", "cannot be opened"), (b"no video at all" * 99, "cannot be opened")]
)
def test_unreadable_video_is_a_row(
    content: bytes, words: str, mfer: Mfer, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "broken.mp4").write_bytes(content)
    assert mfer("predict", f"checkpoint={run}", "source=broken.mp4", "device=cpu") == 0
    (line,) = lines(tmp_path / "predictions" / "broken.mp4")
    assert line["status"] == "unreadable"
    assert words in line["message"]
    assert words in capsys.readouterr().out.replace("\n", " ")


def test_truncated_video_gives_its_frames_and_a_warning(
    portrait: np.ndarray, mfer: Mfer, run: Path, tmp_path: Path
) -> None:
    whole = write_video(tmp_path / "whole.avi", portrait, "MJPG").read_bytes()
    (tmp_path / "cut.avi").write_bytes(whole[: len(whole) // 2])
    assert mfer("predict", f"checkpoint={run}", "source=cut.avi", "video.fps=2", "device=cpu") == 0
    *frames, last = lines(tmp_path / "predictions" / "cut.avi")
    assert len(frames) >= 2
    assert {line["status"] for line in frames} == {"ok"}
    assert last["status"] == "unreadable"
    assert "truncated" in last["message"]


def test_oversized_frames_are_rejected_before_decoding(clip: Path) -> None:
    frames = Frames(clip, most_pixels=1000)
    assert list(frames) == []
    assert frames.status == "too large"
    assert "352 x 256" in frames.message


def test_every_frame_or_only_the_first_seconds(clip: Path) -> None:
    assert len(list(Frames(clip))) == LENGTH
    assert [frame.frame for frame in Frames(clip, fps=100.0)] == list(range(LENGTH))
    assert len(list(Frames(clip, seconds=0.95))) == 10
    assert Frames(clip, fps=5.0).expected == LENGTH / 2
    with pytest.raises(ValueError, match="`fps` to be more than 0"):
        Frames(clip, fps=0.0)


def test_playlist_named_mp4_opens_no_other_file(clip: Path, tmp_path: Path) -> None:
    text = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:9/{clip.name}\n#EXT-X-ENDLIST\n"
    (tmp_path / "list.mp4").write_text(text)
    frames = Frames(tmp_path / "list.mp4")
    assert list(frames) == []
    assert frames.message


class Camera:
    """Returns the same image until Ctrl-C."""

    def __init__(self, picture: np.ndarray, pictures: int) -> None:
        self.picture, self.left = picture, pictures
        self.released = False

    def isOpened(self) -> bool:
        return True

    def get(self, what: int) -> float:
        return {cv2.CAP_PROP_FPS: 30.0}.get(what, 0.0)

    def grab(self) -> bool:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return True

    def retrieve(self) -> tuple[bool, np.ndarray]:
        return True, self.picture[:, :, ::-1]

    def release(self) -> None:
        self.released = True


def test_camera_stops_cleanly_on_ctrl_c(
    portrait: np.ndarray,
    mfer: Mfer,
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    camera = Camera(portrait, 3)
    monkeypatch.setattr(video_module, "_open", lambda source: camera)
    assert mfer("predict", f"checkpoint={run}", "source=0", "video.fps=null", "annotate=true", "device=cpu") == 0
    assert camera.released
    (output,) = (tmp_path / "predictions").iterdir()
    assert output.name.startswith("camera-0-")
    assert [line["status"] for line in lines(output)] == ["ok"] * 3
    assert (output / "annotated.mp4").stat().st_size > 0
    assert not [f for f in output.iterdir() if f.name.startswith(".")]
    said = capsys.readouterr().out
    assert "Stopped." in said
    assert "3 frames: 3 with faces" in said
    assert mfer("predict", f"checkpoint={run}", "source=0", "device=cpu", f"output={output}") == 2
    assert "contains an earlier recording" in capsys.readouterr().err


def test_ctrl_c_in_a_file_keeps_the_table_and_restarts_from_the_beginning(
    mfer: Mfer, run: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(self: Frames, number: int, last: float) -> float:
        if number == 3:
            raise KeyboardInterrupt
        return number / RATE

    output = f"output={tmp_path / 'out'}"
    with monkeypatch.context() as patch:
        patch.setattr(Frames, "_time", cut)
        assert mfer("predict", f"checkpoint={run}", f"source={clip}", "device=cpu", output, "video.fps=5") == 130
    assert (tmp_path / "out" / "predictions.csv").is_file()
    assert mfer("predict", f"checkpoint={run}", f"source={clip}", "device=cpu", output, "video.fps=5") == 0
    assert len(lines(tmp_path / "out")) == LENGTH / 2


def test_missing_camera_raises_one_clear_error(mfer: Mfer, run: Path, capsys: pytest.CaptureFixture) -> None:
    assert mfer("predict", f"checkpoint={run}", "source=77", "device=cpu") == 2
    assert "there is no such camera" in capsys.readouterr().err


def test_camera_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_camera("0")
    (tmp_path / "0").mkdir()
    assert not is_camera("0"), "a folder of that name wins"


def test_video_is_written_completely_or_not_at_all(tmp_path: Path) -> None:
    def fill_the_disk() -> None:
        with video_writer(tmp_path / "a.mp4", 5.0, 64, 48) as write:
            write(np.zeros((48, 64, 3), np.uint8))
            raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match="Cannot write"):
        fill_the_disk()
    assert list(tmp_path.iterdir()) == []
    with video_writer(tmp_path / "a.mp4", 5.0, 64, 48) as write:
        write(np.zeros((24, 32, 3), np.uint8))
    assert (tmp_path / "a.mp4").stat().st_size > 0
