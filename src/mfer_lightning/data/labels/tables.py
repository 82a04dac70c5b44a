"""Tables of labels: read text and csv files row by row, and check the image names in them."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from mfer_lightning.data.labels.image_files import unreadable
from mfer_lightning.errors import UserError


def malformed(path: Path, line: int, expected: str, got: object) -> UserError:
    """Return the error for a row that does not read as it should."""
    return UserError(f"{path}, line {line}: expected {expected}, but got {got!r}. Mend the row or fetch the file anew.")


@contextmanager
def readable_text(path: Path) -> Iterator[None]:
    """Turn the errors of reading a text file into the user's.

    Raises:
        UserError: where the file cannot be read or is no text.
    """
    try:
        yield
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a text file (byte {error.start}). Fetch it anew.") from error
    except OSError as error:
        raise unreadable(path, error) from error


def _empty(path: Path) -> UserError:
    return UserError(f"{path} is empty. Fetch it anew: it should name the images and their labels.")


def read_lines(path: Path) -> list[str]:
    """Read a text file's lines.

    Raises:
        UserError: where the file cannot be read, is no text, or is empty.
    """
    with readable_text(path):
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    if not any(line.strip() for line in lines):
        raise _empty(path)
    return lines


def read_csv(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield ``(line number, fields)`` of a csv file's rows that are not blank.

    Raises:
        UserError: where the file cannot be read, is no text, is empty, or is no csv.
    """
    line, empty = 0, True
    with readable_text(path), path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)  # row by row: lists may have hundreds of megabytes
        try:
            for fields in reader:
                line = reader.line_num
                if any(field.strip() for field in fields):
                    empty = False
                    yield line, fields
        except csv.Error as error:
            raise UserError(f"{path}, line {line + 1}: not a csv row ({error}). Fetch the file anew.") from error
    if empty:
        raise _empty(path)


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
