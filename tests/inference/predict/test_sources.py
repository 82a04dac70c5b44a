"""Invalid sources: folders of videos, URLs and empty options are rejected, macOS metadata files are skipped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from inference.predict.conftest import write

from mfer_lightning.align.photo_list import list_photos
from mfer_lightning.errors import UserError
from mfer_lightning.inference.media.photo_files import find_photos
from mfer_lightning.inference.predictor import Predictor

GREY = np.full((48, 48, 3), 128, np.uint8)
Mfer = Callable[..., int]


@pytest.mark.parametrize(("names", "number"), [(("a.mp4",), "a video"), (("b.mp4", "a.MOV"), "2 videos")])
def test_folder_of_videos_explains_how_to_predict_one(names: tuple[str, ...], number: str, tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(UserError, match=f"contains {number} but no photos. Give one video at a time: source=.*/a\\."):
        find_photos(tmp_path)
    write(tmp_path / "photo.png", GREY)
    assert sum(find_photos(tmp_path).left_alone.values()) == len(names) + 1


@pytest.mark.parametrize("source", ["https://example.org/a.jpg", "http://example.org/*.jpg", "rtsp://10.0.0.1/live"])
def test_urls_are_rejected_because_nothing_is_downloaded(
    source: str, mfer: Mfer, run: Path, model: Predictor, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert mfer("predict", f"checkpoint={run}", f"source={source}", "device=cpu") == 2
    said = capsys.readouterr().err
    assert "nothing is downloaded" in said
    assert source in said
    with pytest.raises(UserError, match="nothing is downloaded"):
        model.predict(source)
    with pytest.raises(UserError, match="nothing is downloaded"):
        list_photos(source, tmp_path / "out")


def test_windows_drives_are_not_urls() -> None:
    with pytest.raises(UserError, match="there is no such file or folder"):
        find_photos("C:/photos")


def test_macos_side_files_are_ignored_in_folders_and_patterns(tmp_path: Path) -> None:
    photo = write(tmp_path / "photos" / "a.png", GREY)
    for name in ("._a.png", "sub/._b.jpg", "__MACOSX/a.png"):
        (tmp_path / "photos" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(b"\0\x05\x16\x07" + bytes(80))
    found = find_photos(tmp_path / "photos")
    assert found.paths == (photo,)
    assert found.left_alone == {"macOS metadata files": 3}
    assert find_photos(str(tmp_path / "photos" / "*.png")).paths == (photo,)
    for source in (tmp_path / "photos", str(tmp_path / "photos" / "*.png")):
        assert [one.source for one in list_photos(source, tmp_path / "out")] == [photo]
    assert find_photos(tmp_path / "photos" / "._a.png").paths, "a file named explicitly is not skipped"


@pytest.mark.parametrize("verb", ["predict", "evaluate", "export", "demo"])
def test_option_without_a_value_is_named(verb: str, mfer: Mfer, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    further = ["source=x"] if verb == "predict" else []
    assert mfer(verb, "checkpoint=", *further) == 2
    assert "checkpoint= has no value" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", ["source", "output"])
def test_empty_path_is_not_the_current_folder(
    option: str, mfer: Mfer, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    given = {"source": "x.jpg", "output": "out"} | {option: ""}
    assert mfer("predict", f"checkpoint={run}", *(f"{name}={value}" for name, value in given.items())) == 2
    assert f"{option}= has no value" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
