"""What all readers need: the usual checks on lists of images, and the usual ways to say that something is wrong."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from mfer_lightning.data.readers.layouts import SIGNATURES
from mfer_lightning.errors import UserError

#: File name endings that are taken for images where a folder is listed.
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm", ".pgm"})


def missing_dataset(name: str, root: Path, looked_for: Sequence[str], how_to_get: str) -> UserError:
    """Return the error for a dataset that is not where it was looked for.

    Args:
        name: the dataset as people call it, e.g. ``"FERPlus"``.
        root: the folder that was searched.
        looked_for: the files or folders that would have been recognised, one a layout.
        how_to_get: where the official copy comes from, in words.
    """
    root = root.absolute()
    where = "does not exist" if not root.exists() else "is not a folder" if not root.is_dir() else "holds none of them"
    found = ""
    if root.is_dir():
        try:
            names = sorted(entry.name for entry in root.iterdir())
        except OSError as error:
            raise unreadable(root, error) from error
        found = " It holds: " + (some(names, 6) if names else "nothing") + "." + _looks_like(name, root, names)
    return UserError(
        f"{name} was not found: {root} {where}.{found}\n"
        f"Looked for: {'; or '.join(looked_for)}.\n"
        f"To get it: {how_to_get}\n"
        "If it lies elsewhere, say paths.data=<folder that holds the datasets> (or set MFER_DATA), "
        "or dataset.root=<the dataset's own folder>."
    )


def signature(folder: Path) -> tuple[str, str] | None:
    """Return which dataset a folder looks like: what people call it and the choice of ``dataset=``; None: like none."""
    try:
        entries = {entry.name for entry in folder.iterdir()}
    except OSError:
        return None  # a guess to help with: whoever needs the folder reports why it cannot be read
    return next((dataset for marks, dataset in SIGNATURES.items() if entries.intersection(marks)), None)


def _looks_like(name: str, root: Path, entries: Sequence[str]) -> str:
    known = signature(root)
    if known is not None and known[0] == name:
        return " It looks like an incomplete copy."
    for folder in (root, *(root / entry for entry in entries[:20])):
        known = signature(folder)
        if known is not None:
            return f" {folder} looks like {known[0]}: say dataset={known[1]} dataset.root={folder}."
    return ""


def unreadable(path: Path, error: OSError) -> UserError:
    """Return the error for a file or folder that the system will not let us read."""
    return UserError(f"Cannot read {path}: {error.strerror or error}. Check its permissions and the disk it lies on.")


def some(names: Sequence[str], n: int = 5) -> str:
    """Name a few and count the rest.

    Example:
        >>> some(["a", "b", "c"], 2)
        'a, b and 1 more'
    """
    shown = ", ".join(names[:n])
    return shown + (f" and {len(names) - n:,} more" if len(names) > n else "")


def read_lines(path: Path) -> list[str]:
    """Read a text file's lines.

    Raises:
        UserError: where the file cannot be read, is no text, or is empty.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise unreadable(path, error) from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a text file (byte {error.start}). Fetch it anew.") from error
    lines = text.splitlines()
    if not any(line.strip() for line in lines):
        raise UserError(f"{path} is empty. Fetch it anew: it should name the images and their labels.")
    return lines


def read_csv(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield ``(line number, fields)`` of a csv file's rows that are not blank.

    Raises:
        UserError: where the file cannot be read, is no text, is empty, or is no csv.
    """
    line, empty = 0, True
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:  # row by row: lists may have hundreds of megabytes
            reader = csv.reader(file, strict=True)
            for fields in reader:
                line = reader.line_num
                if any(field.strip() for field in fields):
                    empty = False
                    yield line, fields
    except csv.Error as error:
        raise UserError(f"{path}, line {line + 1}: not a csv row ({error}). Fetch the file anew.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a text file. Fetch it anew.") from error
    except OSError as error:
        raise unreadable(path, error) from error
    if empty:
        raise UserError(f"{path} is empty. Fetch it anew: it should name the images and their labels.")


def malformed(path: Path, line: int, expected: str, got: object) -> UserError:
    """Return the error for a row that does not read as it should."""
    return UserError(f"{path}, line {line}: expected {expected}, but got {got!r}. Mend the row or fetch the file anew.")


def check_name(name: str, path: Path, line: int) -> str:
    """Return an image name of a list with ``/`` as separator.

    Raises:
        UserError: where the name would leave the dataset's folder (absolute, or with ``..``).
    """
    plain = name.strip().replace("\\", "/")
    parts = PurePosixPath(plain).parts
    if plain.startswith("/") or ".." in parts or (parts and ":" in parts[0]) or "\0" in plain:
        raise UserError(
            f"{path}, line {line}: the image name {name!r} points outside the dataset's folder. "
            "Names in a list must be relative and must not climb with '..'."
        )
    return str(PurePosixPath(plain)) if plain else plain  # one spelling a file: `./a.png` and `a.png` are one image


def check_unique(names: Sequence[str], lines: Sequence[int], path: Path) -> None:
    """Check that a list names no file twice.

    Args:
        names: the names, in the list's order.
        lines: the line of each.
        path: the list.

    Raises:
        UserError: naming the first repetition and both its lines.
    """
    first: dict[str, int] = {}
    for name, line in zip(names, lines, strict=True):
        if name in first:
            repeated = len(names) - len(set(names))
            raise UserError(
                f"{path} names a file twice: {name} on lines {first[name]} and {line} ({repeated} repetitions in all). "
                "Which label is meant cannot be told: leave one of them."
            )
        first[name] = line


def files_in(folder: Path) -> set[str]:
    """Return the names of the files in a folder (empty where there is no such folder).

    Raises:
        UserError: where the folder may not be read.
    """
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if not entry.is_dir()}
    except (FileNotFoundError, NotADirectoryError):
        return set()
    except OSError as error:
        raise unreadable(folder, error) from error


def first_file(root: Path, names: Sequence[str]) -> Path | None:
    """Return the first of several files, given relative to a folder, that is there.

    Raises:
        UserError: where a folder on the way may not be read.
    """
    for name in names:
        folder, _, file = name.rpartition("/")
        if file in files_in(root / folder):
            return root / name
    return None


def missing_images(root: Path, paths: Iterable[str]) -> list[str]:
    """Return which of the relative paths are no files, listing every folder only once."""
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
