"""List the folders and files of a dataset, and distinguish images from other files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from mfer_lightning.errors import UserError

#: Image suffixes, shared by the readers, ``mfer align`` and ``mfer predict``.
IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".webp", ".tif", ".tiff", ".gif"),
    *(".ppm", ".pgm", ".pbm", ".jp2", ".j2k", ".avif", ".heic", ".heif", ".mpo"),
)

#: Files that operating systems and archives add.
_SYSTEM = ("thumbs.db", "desktop.ini", "__macosx")


class Contents(NamedTuple):
    """Names in a folder, without hidden and system files, sorted.

    Attributes:
        folders: subfolders.
        images: files with an image suffix.
        others: all other files.
    """

    folders: list[str]
    images: list[str]
    others: list[str]


def is_image(name: str) -> bool:
    """Whether a file name has an image suffix.

    Example:
        >>> is_image("a/B.JPG"), is_image("a.csv"), is_image(".jpg")
        (True, False, False)
    """
    stem, dot, ending = name.rpartition("/")[2].rpartition(".")
    return bool(stem) and f"{dot}{ending.lower()}" in IMAGE_SUFFIXES


def some(names: Sequence[str], n: int = 5) -> str:
    """Return the first ``n`` names and the number of the others, as text.

    Example:
        >>> some(["a", "b", "c"], 2)
        'a, b and 1 more'
    """
    shown = ", ".join(names[:n])
    return shown + (f" and {len(names) - n:,} more" if len(names) > n else "")


def unreadable(path: Path, error: OSError) -> UserError:
    """Return the error for a file or folder that cannot be read."""
    return UserError(f"Cannot read {path}: {error.strerror or error}. Check its permissions and the disk.")


def entries(folder: Path) -> tuple[set[str], set[str]]:
    """Return the names of the subfolders and files of a folder; both empty if it does not exist.

    Raises:
        UserError: if the folder is not readable.
    """
    folders: set[str] = set()
    files: set[str] = set()
    try:
        with os.scandir(folder) as scan:
            for entry in scan:
                (folders if entry.is_dir() else files).add(entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return set(), set()
    except OSError as error:
        raise unreadable(folder, error) from error
    return folders, files


def files_in(folder: Path) -> set[str]:
    """Return the names of the files in a folder; errors as for :func:`entries`."""
    return entries(folder)[1]


def contents(folder: Path) -> Contents:
    """Return the contents of a folder; errors as for :func:`entries`."""
    folders, files = (
        sorted(name for name in names if name[0] != "." and name.lower() not in _SYSTEM) for names in entries(folder)
    )
    images = [name for name in files if is_image(name)]
    return Contents(folders, images, sorted(set(files) - set(images)))


def listing(folder: Path) -> tuple[list[str], list[str]]:
    """Return the names of the subfolders and images of a folder, as in :func:`contents`."""
    return contents(folder)[:2]


def first_folder(root: Path, names: Sequence[str]) -> str | None:
    """Return the first existing folder of several, given relative to ``root``; errors as for :func:`entries`."""
    return next((name for name in names if Path(name).name in entries((root / name).parent)[0]), None)


def first_file(root: Path, names: Sequence[str]) -> Path | None:
    """Return the first existing file of several, given relative to ``root``; errors as for :func:`entries`."""
    paths = (root / name for name in names)
    return next((path for path in paths if path.name in entries(path.parent)[1]), None)


def missing_images(root: Path, paths: Iterable[str]) -> list[str]:
    """Return those of the paths, relative to ``root``, that are not files. Each folder is read only once."""
    listed: dict[str, set[str]] = {}
    absent = []
    for path in paths:
        folder, _, name = path.rpartition("/")
        if folder not in listed:
            listed[folder] = files_in(root / folder)
        if name not in listed[folder]:
            absent.append(path)
    return absent
