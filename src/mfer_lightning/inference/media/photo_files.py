"""List the photos of a path: a file, a folder (recursively), or a pattern."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mfer_lightning.align.photo_list import expand_pattern, is_pattern, is_side_file, refuse_address
from mfer_lightning.data.images.heif import is_heif
from mfer_lightning.data.labels.image_files import IMAGE_SUFFIXES
from mfer_lightning.errors import UserError, printable
from mfer_lightning.plurals import counted

#: Files with these extensions are treated as photos, and get a row of results even if they cannot be decoded.
PHOTO_SUFFIXES = IMAGE_SUFFIXES
VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".mts", ".3gp")

#: First bytes of photos, to recognise files without a known extension.
_MARKS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\x00", b"MM\x00*")

_METADATA, _LINKS = "macOS metadata files", "symbolic links to folders"
_ONE = {_METADATA: "macOS metadata file", _LINKS: "symbolic link to a folder"}


@dataclass(frozen=True)
class Photos:
    """The photos of a source.

    Args:
        root: the folder that contains them.
        paths: in the order of their names.
        left_alone: extension, or another kind of file such as macOS metadata -> number of skipped files in the folder.
    """

    root: Path
    paths: tuple[Path, ...]
    left_alone: dict[str, int] = field(default_factory=dict)

    def key(self, path: Path) -> str:
        """Name a photo by its printable path relative to the root, with ``/``."""
        return shown(Path(path.relative_to(self.root).as_posix()))

    def describe_left_alone(self) -> str:
        """State in a sentence how many files of each kind are not images and were skipped."""
        kinds = ", ".join(counted(n, _ONE.get(kind, kind), kind) for kind, n in sorted(self.left_alone.items()))
        total = counted(sum(self.left_alone.values()), "file that is not an image", "files that are not images")
        return f"Skipped {total}: {kinds}."


def find_photos(source: str | Path, leave_out: Path | None = None) -> Photos:
    """List the photos of a file, a folder (recursively), or a pattern.

    For a folder, unreadable subfolders and broken links with an image extension are listed, too, so that they get a
    row of results.

    Args:
        source: file, folder or pattern.
        leave_out: the folder of the results, whose files are skipped if it is inside the source.

    Raises:
        UserError: if there is no such file or folder, or no photo in it, or the source is a URL.
    """
    refuse_address(source)
    path = Path(source).expanduser()
    if path.is_dir():
        photos, videos, others = [], [], Counter[str]()
        for file in _walk(path, leave_out):
            if is_side_file(file.relative_to(path)):
                others[_METADATA] += 1
            elif file.is_symlink() and file.is_dir():
                others[_LINKS] += 1
            elif file.suffix.lower() in PHOTO_SUFFIXES or _looks_like_photo(file):
                photos.append(file)
            else:
                videos += [file] if file.suffix.lower() in VIDEO_SUFFIXES else []
                others[printable(file.suffix.lower()) or "without an extension"] += 1
        if videos and not photos:
            number = "a video" if len(videos) == 1 else f"{len(videos):,} videos"
            raise UserError(
                f"source={shown(path)} contains {number} but no photos. Give one video at a time: "
                f"source={shown(videos[0])}"
            )
        if not photos:
            there = (
                f", only {counted(sum(others.values()), 'other file')} ({', '.join(sorted(others))})"
                if others
                else ": it is empty"
            )
            raise UserError(f"source={shown(path)} contains no photos{there}.")
        return Photos(path, tuple(photos), dict(others))
    if path.exists() or path.is_symlink():
        return Photos(path.parent, (path,))
    if is_pattern(source):
        anchor, matches = expand_pattern(path)
        files = tuple(f for f in matches if not f.is_dir() and not is_side_file(f.relative_to(anchor)))
        if not files:
            raise UserError(f"source={source}: no file matches.")
        return Photos(anchor, files)
    raise UserError(f"source={shown(path)}: there is no such file or folder.")


def shown(path: Path) -> str:
    r"""Write a path as printable text: bytes that are not UTF-8 as ``\xff``.

    Example:
        >>> shown(Path("a/b.jpg"))
        'a/b.jpg'
    """
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _walk(folder: Path, leave_out: Path | None) -> Iterator[Path]:
    """Yield the files in a folder in the order of their names, and subfolders that cannot be read or are links."""
    found: list[Path] = []
    closed: list[Path] = []
    inside = None if leave_out is None else leave_out.resolve()
    for parent, folders, names in os.walk(folder, onerror=lambda error: closed.append(Path(error.filename))):
        folders[:] = [name for name in folders if inside is None or (Path(parent) / name).resolve() != inside]
        links = [name for name in folders if (Path(parent) / name).is_symlink()]  # not followed: they may be circular
        found += [Path(parent) / name for name in (*names, *links)]
    yield from sorted([*found, *closed])


def _looks_like_photo(file: Path) -> bool:
    """Whether a file without a photo extension starts with the bytes of a photo; True for unreadable folders."""
    if file.is_dir():
        return True
    if file.suffix.lower() in VIDEO_SUFFIXES or not file.is_file():
        return False
    try:
        with file.open("rb") as opened:
            start = opened.read(64)
    except OSError:
        return False
    return start.startswith(_MARKS) or is_heif(start) or (start[:4] == b"RIFF" and start[8:12] == b"WEBP")
