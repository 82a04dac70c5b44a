"""Which files a source stands for, and what is left alone among them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mfer_lightning.errors import UserError, printable

#: Files with these endings are photos by their name: they get a row, whatever they hold.
PHOTO_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".webp", ".tif", ".tiff", ".gif"),
    *(".ppm", ".pgm", ".pbm", ".jp2", ".j2k", ".avif", ".heic", ".heif", ".mpo"),
)
VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".mts", ".3gp")

#: How a photo begins that has no ending or a strange one.
_MARKS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\x00", b"MM\x00*")


@dataclass(frozen=True)
class Photos:
    """The photos of a source.

    Args:
        root: the folder that they lie in or below.
        paths: in the order of their names.
        left_alone: ending -> number of files in the folder that are no photos by name or content.
    """

    root: Path
    paths: tuple[Path, ...]
    left_alone: dict[str, int] = field(default_factory=dict)

    def key(self, path: Path) -> str:
        """What a photo is called in this source: its path below the root, with ``/``, fit to be printed."""
        return shown(Path(path.relative_to(self.root).as_posix()))


def find_photos(source: str | Path, leave_out: Path | None = None) -> Photos:
    """List the photos that a path stands for: itself, those of a folder and all below it, or those of a pattern.

    Folders on the way that cannot be entered, broken links and the like are among the photos: they are to get a row.

    Args:
        source: file, folder or pattern.
        leave_out: a folder whose files are not meant, if it lies in the source: that of the results.

    Raises:
        UserError: where there is no such file or folder, or no photo in it.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        photos, others = [], Counter[str]()
        for file in _walk(path, leave_out):
            if file.is_symlink() and file.is_dir():
                others["linked folders"] += 1
            elif file.suffix.lower() in PHOTO_SUFFIXES or _looks_like_photo(file):
                photos.append(file)
            else:
                others[printable(file.suffix.lower()) or "without an ending"] += 1
        if not photos:
            there = f"{sum(others.values())} other files ({', '.join(sorted(others))})" if others else "no files"
            raise UserError(f"source={shown(path)} holds no photos, but {there}.")
        return Photos(path, tuple(photos), dict(others))
    if path.exists() or path.is_symlink():
        return Photos(path.parent, (path,))
    if any(c in str(source) for c in "*?["):
        first = next(i for i, part in enumerate(path.parts) if any(c in part for c in "*?["))
        anchor = Path(*path.parts[:first])
        files = sorted(f for f in anchor.glob(str(Path(*path.parts[first:]))) if not f.is_dir())
        if not files:
            raise UserError(f"source={source}: no file is called so.")
        return Photos(anchor, tuple(files))
    raise UserError(f"source={shown(path)}: there is no such file or folder.")


def shown(path: Path) -> str:
    r"""Write a path so that it can be printed and stored: bytes that are no text as ``\xff``.

    Example:
        >>> shown(Path("a/b.jpg"))
        'a/b.jpg'
    """
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _walk(folder: Path, leave_out: Path | None) -> Iterator[Path]:
    """Give the files below a folder in the order of their names, and the folders that cannot be or are not entered."""
    closed: list[Path] = []

    def note(error: OSError) -> None:
        closed.append(Path(error.filename))

    found = []
    inside = None if leave_out is None else leave_out.resolve()
    for parent, folders, names in os.walk(folder, onerror=note):
        folders[:] = [name for name in folders if inside is None or (Path(parent) / name).resolve() != inside]
        links = [name for name in folders if (Path(parent) / name).is_symlink()]  # not entered: they may go in circles
        found += [Path(parent) / name for name in (*names, *links)]
    yield from sorted([*found, *closed])


def _looks_like_photo(file: Path) -> bool:
    """Whether a file without a photo's ending is one by its first bytes; a closed folder counts, to be said."""
    if file.is_dir():
        return True
    if file.suffix.lower() in VIDEO_SUFFIXES or not file.is_file():
        return False
    try:
        with file.open("rb") as opened:
            start = opened.read(16)
    except OSError:
        return False
    return start.startswith(_MARKS) or (start[:4] == b"RIFF" and start[8:12] == b"WEBP")
