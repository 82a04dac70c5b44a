"""Folders and files of a dataset: list them, find them, check that the images of a list exist."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from mfer_lightning.errors import UserError

#: File name endings that are taken for images where a folder is listed.
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm", ".pgm"})


def some(names: Sequence[str], n: int = 5) -> str:
    """Name a few and count the rest.

    Example:
        >>> some(["a", "b", "c"], 2)
        'a, b and 1 more'
    """
    shown = ", ".join(names[:n])
    return shown + (f" and {len(names) - n:,} more" if len(names) > n else "")


def unreadable(path: Path, error: OSError) -> UserError:
    """Return the error for a file or folder that the operating system refuses to read."""
    return UserError(f"Cannot read {path}: {error.strerror or error}. Check its permissions and the disk it lies on.")


def entries(folder: Path) -> tuple[set[str], set[str]]:
    """Return the names of the folders and of the files in a folder; both are empty where it does not exist.

    Raises:
        UserError: where the folder may not be read.
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
    """Return the names of the files in a folder; errors as :func:`entries`."""
    return entries(folder)[1]


def listing(folder: Path) -> tuple[list[str], list[str]]:
    """Return the names of the folders and of the images in a folder, sorted, without hidden ones.

    Errors as :func:`entries`.
    """
    folders, files = ({n for n in names if not n.startswith(".")} for names in entries(folder))
    images = [name for name in files if Path(name).suffix.lower() in IMAGE_SUFFIXES]
    return sorted(folders - {"__MACOSX"}), sorted(images)


def first_folder(root: Path, names: Sequence[str]) -> str | None:
    """Return the first of several folders, given relative to a folder, that exists; errors as :func:`entries`."""
    return next((name for name in names if Path(name).name in entries((root / name).parent)[0]), None)


def first_file(root: Path, names: Sequence[str]) -> Path | None:
    """Return the first of several files, given relative to a folder, that exists; errors as :func:`entries`."""
    paths = (root / name for name in names)
    return next((path for path in paths if path.name in entries(path.parent)[1]), None)


def missing_images(root: Path, paths: Iterable[str]) -> list[str]:
    """Return which of the relative paths are no files; every folder is listed only once."""
    listed: dict[str, set[str]] = {}
    absent = []
    for path in paths:
        folder, _, name = path.rpartition("/")
        if folder not in listed:
            listed[folder] = files_in(root / folder)
        if name not in listed[folder]:
            absent.append(path)
    return absent


def check_images(root: Path, paths: Sequence[str], listed_in: Path) -> None:
    """Check that all images of a list exist.

    Raises:
        UserError: with how many are missing and the first names.
    """
    absent = missing_images(root, paths)
    if absent:
        raise UserError(
            f"{len(absent):,} of the {len(paths):,} images that {listed_in} names are missing under {root}: "
            f"{some(absent)}. Unpack the images anew, or remove their rows from the list."
        )
