"""A folder of fifty mixed files (many formats, all orientations, several kinds of damage), and the expected results."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

#: Orientation tag -> transform from the upright to the stored picture.
STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, -1),
}


def make(folder: Path, portrait: np.ndarray) -> dict[str, tuple[str, int]]:
    """Write the files.

    Returns:
        Displayed relative path -> expected status and number of faces.
    """
    folder.mkdir(parents=True)
    return {
        **_formats(folder, portrait),
        **_turned(folder, portrait),
        **_several_and_none(folder, portrait),
        **_broken(folder, portrait),
        **_huge_and_tiny(folder),
        **_names(folder, portrait),
    }


def _formats(folder: Path, portrait: np.ndarray) -> dict[str, tuple[str, int]]:
    image = Image.fromarray(portrait)
    for ending in ("jpg", "png", "bmp", "webp", "tif", "ppm", "jp2", "avif"):
        image.save(folder / f"plain.{ending}")
    image.convert("CMYK").save(folder / "cmyk.jpg", quality=95)
    image.quantize(64).save(folder / "palette.png")
    image.convert("L").save(folder / "grey.png")
    deep = np.asarray(image.convert("L")).astype(np.uint16) * 257
    Image.fromarray(deep).save(folder / "deep.png")
    clear = Image.fromarray(np.dstack([portrait, np.full(portrait.shape[:2], 255, np.uint8)]))
    clear.putpixel((0, 0), (0, 0, 0, 0))
    clear.save(folder / "alpha.png")
    blank = Image.new("RGB", image.size, "white")
    image.save(folder / "moving.gif", save_all=True, append_images=[blank, blank], duration=100)
    names = [f"plain.{e}" for e in ("jpg", "png", "bmp", "webp", "tif", "ppm", "jp2", "avif")]
    names += ["cmyk.jpg", "palette.png", "grey.png", "deep.png", "alpha.png", "moving.gif"]
    return dict.fromkeys(names, ("ok", 1))


def _turned(folder: Path, portrait: np.ndarray) -> dict[str, tuple[str, int]]:
    for tag, stored in STORED.items():
        exif = Image.Exif()
        exif[0x0112] = tag
        Image.fromarray(np.ascontiguousarray(stored(portrait))).save(folder / f"turned{tag}.jpg", exif=exif, quality=95)
    return {f"turned{tag}.jpg": ("ok", 1) for tag in STORED}


def _several_and_none(folder: Path, portrait: np.ndarray) -> dict[str, tuple[str, int]]:
    Image.fromarray(np.hstack([portrait, portrait])).save(folder / "two.png")
    small = np.ascontiguousarray(portrait[::2, ::2])
    quiet = np.full_like(small, 200)
    Image.fromarray(np.vstack([np.hstack([small, quiet, small]), np.hstack([quiet, small, quiet])])).save(
        folder / "three.png"
    )
    noise = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "noise.png")
    Image.new("RGB", (120, 90), "white").save(folder / "white.jpg")
    Image.linear_gradient("L").save(folder / "ramp.png")
    return {
        "two.png": ("ok", 2),
        "three.png": ("ok", 3),
        **dict.fromkeys(("noise.png", "white.jpg", "ramp.png"), ("no face", 0)),
    }


def _broken(folder: Path, portrait: np.ndarray) -> dict[str, tuple[str, int]]:
    for name in ("plain.jpg", "plain.png", "plain.webp"):
        whole = (folder / name).read_bytes()
        (folder / f"cut_{name}").write_bytes(whole[: len(whole) // 2])
    (folder / "text.jpg").write_text("this is not a picture", encoding="utf-8")
    (folder / "page.png").write_text("<html><body>404</body></html>", encoding="utf-8")
    (folder / "drawing.jpg").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", encoding="utf-8")
    (folder / "random.png").write_bytes(np.random.default_rng(1).bytes(4000))
    (folder / "empty.jpg").touch()
    (folder / "gone.jpg").symlink_to(folder / "nowhere.jpg")
    os.mkfifo(folder / "pipe.jpg")
    return {
        **{f"cut_{name}": ("unreadable", 0) for name in ("plain.jpg", "plain.png", "plain.webp")},
        **dict.fromkeys(("text.jpg", "page.png", "drawing.jpg", "random.png", "pipe.jpg"), ("not an image", 0)),
        **dict.fromkeys(("empty.jpg", "gone.jpg"), ("unreadable", 0)),
    }


def bomb(path: Path, side: int = 50_000) -> None:
    """Write a valid PNG of side x side black pixels: a few hundred kilobytes that decode to 7.5 GB."""
    packer = zlib.compressobj(9)
    row = b"\0" * (1 + side // 8)
    data = b"".join([*(packer.compress(row * 1000) for _ in range(side // 1000)), packer.flush()])
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", data), (b"IEND", b"")]
    body = b"".join(struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def _huge_and_tiny(folder: Path) -> dict[str, tuple[str, int]]:
    bomb(folder / "bomb.png")
    head = struct.pack("<IIiiHHIIiiII", 54 + 40, 40, 60_000, 60_000, 1, 24, 0, 0, 0, 0, 0, 0)
    (folder / "claims.bmp").write_bytes(b"BM" + struct.pack("<IHHI", 94, 0, 0, 54) + head[4:] + b"\0" * 40)
    Image.new("RGB", (9000, 9000)).save(folder / "large.png")
    Image.new("RGB", (1, 1)).save(folder / "dot.png")
    Image.new("RGB", (3000, 2)).save(folder / "line.png")
    return {
        **dict.fromkeys(("bomb.png", "claims.bmp", "large.png"), ("too large", 0)),
        **dict.fromkeys(("dot.png", "line.png"), ("no face", 0)),
    }


def _names(folder: Path, portrait: np.ndarray) -> dict[str, tuple[str, int]]:
    whole = (folder / "plain.jpg").read_bytes()
    names = ["Gesicht äöü 顔 🙂.jpg", "a photo (1), [x]=y.JPG", "new\nline.jpg", "=1+1.jpg", ".hidden.jpg", "no_ending"]
    for name in names:
        (folder / name).write_bytes(whole)
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.jpg")).write_bytes(whole)
    (folder / "sub" / "photos.jpg").mkdir(parents=True)
    (folder / "sub" / "photos.jpg" / "inside.jpeg").write_bytes(whole)
    (folder / "notes.txt").write_text("no photo, and not called one", encoding="utf-8")
    (folder / "clip.mp4").write_bytes(b"\0" * 64)
    return dict.fromkeys((*names, r"caf\xe9.jpg", "sub/photos.jpg/inside.jpeg"), ("ok", 1))
