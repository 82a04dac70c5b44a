from __future__ import annotations

import io
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from data.trees import picture
from PIL import Image

from mfer_lightning.data.images.decode import crop_box, decode, resize
from mfer_lightning.data.images.sources import FileSource
from mfer_lightning.data.index import FaceIndex
from mfer_lightning.errors import UserError

RGB = picture(np.random.default_rng(5), 40)


def index_for(root: Path, names: list[str], box: np.ndarray | None = None) -> FaceIndex:
    n = len(names)
    return FaceIndex(
        dataset="folder",
        layout="made up",
        root=root,
        class_names=("a", "b"),
        path=np.array(names),
        partition=np.array(["train"] * n),
        label=np.zeros(n, dtype=np.int64),
        box=box,
    )


def test_solid_colour_is_decoded_as_rgb(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png")
    np.testing.assert_array_equal(decode(tmp_path / "a.png"), RGB)


def test_greyscale_becomes_three_equal_channels(tmp_path: Path) -> None:
    Image.fromarray(RGB[:, :, 0]).save(tmp_path / "a.png")
    np.testing.assert_array_equal(decode(tmp_path / "a.png"), np.repeat(RGB[:, :, :1], 3, axis=2))


def test_sixteen_bit_greyscale_is_scaled_not_clipped(tmp_path: Path) -> None:
    Image.fromarray(RGB[:, :, 0].astype(np.uint16) * 257).save(tmp_path / "a.png")
    np.testing.assert_array_equal(decode(tmp_path / "a.png")[:, :, 1], RGB[:, :, 0])


def test_dark_sixteen_bit_greyscale_stays_dark(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 200, dtype=np.uint16)).save(tmp_path / "a.png")
    assert decode(tmp_path / "a.png").max() == 1


@pytest.mark.parametrize("shape", [(3_000, 1_000), (1, 3_000_000)])
@pytest.mark.parametrize(("mode", "kind"), [("I;16", np.uint16), ("I", np.int32), ("F", np.float32)])
def test_greyscale_of_more_than_eight_bits_needs_little_memory(
    mode: str, kind: type, shape: tuple[int, int], tmp_path: Path
) -> None:
    """A damaged header can claim millions of rows or columns: the conversion must not need many bytes per pixel."""
    values = np.random.default_rng(0).integers(0, 65_536, shape).astype(kind)
    Image.fromarray(values).save(tmp_path / "a.tif")
    tracemalloc.start()
    try:
        decoded = decode(tmp_path / "a.tif")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert Image.open(tmp_path / "a.tif").mode == mode
    np.testing.assert_array_equal(decoded[:, :, 0], np.rint(values / 257))
    assert peak < 20 * values.size


def test_float_greyscale(tmp_path: Path) -> None:
    Image.fromarray(RGB[:, :, 0].astype(np.float32) / 255).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(decode(tmp_path / "a.tif")[:, :, 2], RGB[:, :, 0])


def test_palette(tmp_path: Path) -> None:
    image = Image.fromarray(RGB).quantize(64)
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(decode(tmp_path / "a.png"), np.asarray(image.convert("RGB")))


def test_bilevel(tmp_path: Path) -> None:
    Image.fromarray(RGB[:, :, 0] > 128).save(tmp_path / "a.png")
    np.testing.assert_array_equal(decode(tmp_path / "a.png")[:, :, 0], np.where(RGB[:, :, 0] > 128, 255, 0))


def test_cmyk(tmp_path: Path) -> None:
    Image.fromarray(RGB).convert("CMYK").save(tmp_path / "a.tif")
    np.testing.assert_allclose(decode(tmp_path / "a.tif"), RGB, atol=1)


def test_transparency_is_composited_on_white(tmp_path: Path) -> None:
    rgba = np.dstack([RGB, np.full(RGB.shape[:2], 255, dtype=np.uint8)])
    rgba[:10, :, 3] = 0
    Image.fromarray(rgba).save(tmp_path / "a.png")
    image = decode(tmp_path / "a.png")
    assert (image[:10] == 255).all()
    np.testing.assert_array_equal(image[10:], RGB[10:])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(tmp_path: Path, orientation: int) -> None:
    undo = {  # how the camera stored the upright picture, by the EXIF standard
        1: lambda x: x,
        2: lambda x: x[:, ::-1],
        3: lambda x: x[::-1, ::-1],
        4: lambda x: x[::-1],
        5: lambda x: x.transpose(1, 0, 2),
        6: lambda x: np.rot90(x),
        7: lambda x: x.transpose(1, 0, 2)[::-1, ::-1],
        8: lambda x: np.rot90(x, -1),
    }
    upright = RGB[:30]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(undo[orientation](upright))).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(decode(tmp_path / "a.png"), upright)


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_first_frame_of_an_animation_is_used(tmp_path: Path, suffix: str) -> None:
    black, white = Image.new("RGB", (8, 8)), Image.new("RGB", (8, 8), "white")
    black.save(tmp_path / f"a.{suffix}", save_all=True, append_images=[white, white])
    image = decode(tmp_path / f"a.{suffix}")
    assert image.shape == (8, 8, 3)
    assert image.max() == 0


class TestDamage:
    def jpeg(self) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(RGB).save(buffer, "JPEG")
        return buffer.getvalue()

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", r"a\.jpg is empty \(0 bytes\)"),
            (b"this is no picture", r"a\.jpg is not a readable image"),
            (None, r"a\.jpg is damaged or truncated"),
        ],
    )
    def test_damaged_file_is_named(self, tmp_path: Path, content: bytes | None, message: str) -> None:
        (tmp_path / "a.jpg").write_bytes(self.jpeg()[:-200] if content is None else content)
        with pytest.raises(UserError, match=message):
            decode(tmp_path / "a.jpg")

    def test_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"a\.jpg is missing"):
            decode(tmp_path / "a.jpg")

    def test_truncated_png(self, tmp_path: Path) -> None:
        Image.fromarray(RGB).save(tmp_path / "a.png")
        (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:900])
        with pytest.raises(UserError, match=r"a\.png is damaged or truncated"):
            decode(tmp_path / "a.png")


class TestBoxes:
    def test_face_is_cropped_and_resized(self, tmp_path: Path) -> None:
        Image.fromarray(RGB).save(tmp_path / "a.png")
        source = FileSource(index_for(tmp_path, ["a.png"], np.array([[10, 5, 20, 20]])))
        np.testing.assert_array_equal(source.read(0), RGB[5:25, 10:30])
        assert FileSource(source.index, 12).read(0).shape == (12, 12, 3)

    def test_box_beyond_the_edge_is_clipped(self) -> None:
        np.testing.assert_array_equal(crop_box(RGB, (30, -5, 50, 20)), RGB[:15, 30:])

    @pytest.mark.parametrize("box", [(40, 0, 5, 5), (0, 0, 0, 5), (-9, 0, 5, 5)])
    def test_box_outside_the_image_names_the_file(self, tmp_path: Path, box: tuple[int, ...]) -> None:
        Image.fromarray(RGB).save(tmp_path / "a.png")
        with pytest.raises(UserError, match=r"a\.png: the face box is outside"):
            FileSource(index_for(tmp_path, ["a.png"], np.array([box]))).read(0)


def test_downscaling_averages_pixels() -> None:
    """Nearest or bilinear sampling would alias: a fine checkerboard must become grey."""
    board = np.indices((64, 64)).sum(axis=0) % 2 * 255
    small = resize(np.repeat(board[:, :, None], 3, axis=2).astype(np.uint8), 16)
    assert np.abs(small.astype(int) - 127.5).max() <= 1


class TestFingerprint:
    def test_fingerprint_depends_on_content_size_and_preprocessing(self, tmp_path: Path) -> None:
        for name in ("a.png", "b.png"):
            Image.fromarray(RGB).save(tmp_path / name)
        index = index_for(tmp_path, ["a.png", "b.png"])
        rows = np.arange(2)
        before = FileSource(index, 32).fingerprint(rows)
        assert FileSource(index, 32).fingerprint(rows) == before
        assert FileSource(index, 33).fingerprint(rows) != before
        assert FileSource(index, 32).fingerprint(rows[:1]) != before
        Image.fromarray(RGB[::-1].copy()).save(tmp_path / "b.png")
        assert FileSource(index, 32).fingerprint(rows) != before

    def test_copies_in_other_folders_have_the_same_fingerprint(self, tmp_path: Path) -> None:
        import shutil

        (tmp_path / "one").mkdir()
        Image.fromarray(RGB).save(tmp_path / "one" / "a.png")
        shutil.copytree(tmp_path / "one", tmp_path / "two")
        one, two = (FileSource(index_for(tmp_path / d, ["a.png"])).fingerprint(np.arange(1)) for d in ("one", "two"))
        assert one == two

    def test_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"gone\.png cannot be read"):
            FileSource(index_for(tmp_path, ["gone.png"])).fingerprint(np.arange(1))
