"""Damaged images of every format give pixels or one error message from each of the three readers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzzing.campaign import SLOW, Kind, survives
from fuzzing.mutations import Draw, edited_bytes
from fuzzing.planted import FAULTS, found
from PIL import Image, features

from mfer_lightning.data.images import decode
from mfer_lightning.errors import UserError
from mfer_lightning.inference.media import photos
from mfer_lightning.inference.results import OK
from mfer_lightning.onnx import read_faces

QUICK_EACH = 4


def _smooth(side: int = 40) -> Image.Image:
    x, y = np.meshgrid(np.arange(side), np.arange(side))
    return Image.fromarray(np.stack([x * 6, y * 6, (x + y) * 3], axis=2).astype(np.uint8))


def _deep(path: Path) -> None:
    Image.fromarray(np.asarray(_smooth().convert("L")).astype(np.uint16) * 257).save(path)


def _turned(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    _smooth().save(path, exif=exif, progressive=True)


def _moving(path: Path) -> None:
    _smooth().save(path, save_all=True, append_images=[_smooth().rotate(90)], duration=50)


def _heic(path: Path) -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()
    _smooth(64).save(path)


def _avif(path: Path) -> None:
    if not features.check("avif"):
        pytest.skip("this Pillow cannot write AVIF")
    _smooth().save(path)


def _as(**options: Any) -> Callable[[Path], None]:
    return lambda path: _smooth().save(path, **options)


#: Name -> function that writes the image.
PICTURES: dict[str, Callable[[Path], None]] = {
    "plain.jpg": _as(),
    "turned.jpg": _turned,
    "cmyk.jpg": lambda path: _smooth().convert("CMYK").save(path),
    "plain.png": _as(),
    "deep.png": _deep,
    "palette.png": lambda path: _smooth().quantize(16).save(path, transparency=3),
    "alpha.png": lambda path: _smooth().convert("RGBA").save(path),
    "plain.bmp": _as(),
    "plain.webp": _as(),
    "moving.webp": _moving,
    "plain.tif": _as(),
    "packed.tif": _as(compression="tiff_lzw"),
    "deep.tif": _deep,
    "moving.gif": _moving,
    "plain.ppm": _as(),
    "plain.jp2": _as(),
    "plain.avif": _avif,
    "plain.heic": _heic,
}
QUICK = ("turned.jpg", "palette.png", "deep.tif", "moving.gif", "plain.webp")


def damage(draw: Draw, path: Path) -> None:
    """Change bytes, half of them in the header."""
    content = path.read_bytes()
    path.write_bytes(edited_bytes(draw, content, [range(min(len(content), 120))]))


def read(path: Path) -> list[np.ndarray]:
    """Read an image with the readers of training, prediction and ONNX models; reject it if all of them do."""
    found, refusals = [], []
    for reader in (decode.decode, photo, read_faces.read_face):
        try:
            found.append(reader(path))
        except UserError as error:
            refusals.append(error)
    if not found:
        raise refusals[0]
    return found


def photo(path: Path) -> np.ndarray:
    """Read an image like ``mfer predict``, whose result row explains why it cannot be read."""
    picture = photos.read_photo(path)
    if picture.status != OK or picture.image is None:
        raise UserError(f"{picture.path}: {picture.message}")
    return picture.image


def check(found: list[np.ndarray]) -> str:
    """Return what is wrong with the pixels."""
    odd = [(x.dtype, x.shape) for x in found if x.dtype != np.uint8 or x.ndim != 3 or x.shape[2] != 3 or x.size == 0]
    return f"not an image: {odd}" if odd else ""


def kind_of(name: str, folder: Path, planted: str = "") -> Kind:
    """One image as a kind of input."""
    PICTURES[name](folder / name)
    return Kind(folder / name, damage, read, check, planted, _other)


def _other(found: Any) -> Any:
    """Return an invalid image."""
    if isinstance(found, photos.Picture):
        return photos.of_image(np.zeros((4, 4, 1)))
    return found[:, :, :1].astype(float)


@pytest.mark.parametrize(
    ("name", "count"),
    [*((name, QUICK_EACH) for name in QUICK), *(pytest.param(n, SLOW, marks=pytest.mark.slow) for n in PICTURES)],
)
def test_damaged_image_is_read_or_rejected(name: str, count: int, tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "damaged").mkdir()
    survives(kind_of(name, tmp_path / "whole"), tmp_path / "damaged", count)


@pytest.mark.parametrize("reader", [decode.decode, photos.read_photo, read_faces.read_face])
@pytest.mark.parametrize("fault", FAULTS)
def test_harness_detects_a_planted_fault(
    reader: Any, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "damaged").mkdir()
    kind = kind_of("plain.bmp", tmp_path / "whole", f"{reader.__module__}:{reader.__name__}")
    assert found(kind, fault, tmp_path / "damaged", monkeypatch)
