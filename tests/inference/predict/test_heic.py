"""HEIC photos are read with pillow-heif, upright, and without it the message names the package to install."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from inference.predict.files.generate import FOLDER
from PIL import Image

from mfer_lightning.data.images.decode import decode
from mfer_lightning.errors import UserError
from mfer_lightning.inference.media.photo_files import find_photos
from mfer_lightning.inference.media.photos import read_photo
from mfer_lightning.inference.predictor import Predictor

PHOTO = FOLDER / "face.heic"


def lines(output: Path) -> list[dict]:
    return [json.loads(line) for line in (output / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]


def test_phone_photo_is_read_upright_and_has_one_face(model: Predictor) -> None:
    pytest.importorskip("pillow_heif")
    (prediction,) = model.predict(PHOTO)
    assert (prediction.status, prediction.width, prediction.height) == ("ok", 240, 200)
    x, y, width, height = prediction.faces[0].box
    assert 100 < x + width / 2 < 140
    assert 80 < y + height / 2 < 130
    np.testing.assert_array_equal(decode(PHOTO), read_photo(PHOTO).image)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_damaged_photo_is_a_row(share: float, tmp_path: Path) -> None:
    pytest.importorskip("pillow_heif")
    whole = PHOTO.read_bytes()
    (tmp_path / "cut.heic").write_bytes(whole[: int(share * len(whole))])
    picture = read_photo(tmp_path / "cut.heic")
    assert picture.status == "unreadable"
    assert "damaged or truncated" in picture.message


def test_size_is_checked_before_decoding() -> None:
    pytest.importorskip("pillow_heif")
    assert read_photo(PHOTO, 1000).status == "too large"


def test_missing_package_is_named_and_a_later_start_reads_the_photo(
    mfer: Callable[..., int], run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "photo.heic").write_bytes(PHOTO.read_bytes())
    command = ("predict", f"checkpoint={run}", "source=photo.heic", "device=cpu")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pillow_heif", None)
        assert mfer(*command) == 0
        assert "pip install 'mfer_lightning[heic]'" in capsys.readouterr().out
        with pytest.raises(UserError, match=r"mfer_lightning\[heic\]"):
            decode(PHOTO)
    (line,) = lines(tmp_path / "predictions" / "photo.heic")
    assert line["status"] == "unreadable"
    pytest.importorskip("pillow_heif")
    assert mfer(*command, "retry=true") == 0
    (line,) = lines(tmp_path / "predictions" / "photo.heic")
    assert line["status"] == "ok"


def test_file_without_extension_is_detected_by_content_and_avif_needs_no_package(tmp_path: Path) -> None:
    (tmp_path / "IMG_0001").write_bytes(PHOTO.read_bytes())
    Image.new("RGB", (32, 32)).save(tmp_path / "b.avif")
    assert [path.name for path in find_photos(tmp_path).paths] == ["IMG_0001", "b.avif"]
    assert read_photo(tmp_path / "b.avif").status == "ok"
