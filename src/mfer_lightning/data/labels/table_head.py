"""Read the beginning of a label file, and detect its encoding, separator and header."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from mfer_lightning.data.labels.image_files import is_image, unreadable
from mfer_lightning.data.labels.numbers import is_number
from mfer_lightning.errors import UserError, excerpt

#: Separators to try, in order of preference.
SEPARATORS = (",", "\t", ";", "|", " ")

#: Number of bytes used to detect encoding and separator.
HEAD = 1 << 16

#: Number of rows used to detect the separator.
HEAD_ROWS = 100

#: A file that is not UTF-8 is read as Latin-1 if at most this fraction of its bytes is non-ASCII.
_MOST_ACCENTS = 0.3
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f]")

#: A first line that tells Excel the separator.
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*')


class Head(NamedTuple):
    """The beginning of a table.

    Attributes:
        path: the file.
        encoding: name of the encoding in Python.
        separator: one of :data:`SEPARATORS`, or the character given by a first line such as ``sep=;``. A space stands
            for any number of spaces and tabs.
        rows: line number and stripped fields of the first non-blank rows.
    """

    path: Path
    encoding: str
    separator: str
    rows: tuple[tuple[int, list[str]], ...]

    @property
    def width(self) -> int:
        """The most common number of fields per row."""
        return Counter(len(fields) for _, fields in self.rows).most_common(1)[0][0]

    @property
    def has_header(self) -> bool:
        """Whether the first row is a header: no image name, and no number unless other rows have image names."""
        first, *others = (any(map(is_image, fields)) for _, fields in self.rows)
        return not first and (any(others) or not any(map(is_number, self.rows[0][1])))


def malformed(path: Path, line: int, expected: str, got: object) -> UserError:
    """Return the error for a malformed row.

    Args:
        path: the file.
        line: line number.
        expected: what was expected, in words.
        got: the value.
    """
    return UserError(
        f"{path}, line {line}: expected {expected}, but got {excerpt(got, 80)}. Fix the row or download the file again."
    )


@contextmanager
def readable_text(path: Path) -> Iterator[None]:
    """Convert errors from reading a text file within the block to user errors.

    Raises:
        UserError: if the file cannot be read or is not text.
    """
    try:
        yield
    except UnicodeError as error:
        raise _no_text(path) from error
    except OSError as error:
        raise unreadable(path, error) from error


def _no_text(path: Path) -> UserError:
    return UserError(f"{path} is not a text file. Download it again, or save it as csv.")


def _empty(path: Path) -> UserError:
    return UserError(f"{path} is empty, but should contain labels or image names. Download it again.")


def find_encoding(path: Path, start: bytes) -> str:
    """Detect the encoding of a text file.

    Args:
        path: the file, for the message.
        start: its first bytes.

    Returns:
        ``"utf-8-sig"``, ``"utf-16"`` or ``"latin-1"``.

    Raises:
        UserError: if it is not text.

    Example:
        >>> find_encoding(Path("a"), "Überraschung;3".encode("latin-1"))
        'latin-1'
    """
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    encoding = "utf-8-sig"
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(start)  # a character may be truncated at the end
    except UnicodeDecodeError:
        encoding, text = "latin-1", start.decode("latin-1")
        if sum(byte > 127 for byte in start) > _MOST_ACCENTS * len(start):
            raise _no_text(path) from None
    if _CONTROL.search(text):
        raise _no_text(path)
    return encoding


def read_lines(path: Path) -> list[str]:
    """Read the lines of a text file.

    Raises:
        UserError: if the file cannot be read, is not text, or is empty.
    """
    with readable_text(path):
        content = path.read_bytes()
        lines = content.decode(find_encoding(path, content)).splitlines()
    if not any(line.strip() for line in lines):
        raise _empty(path)
    return lines


def read_head(path: Path) -> Head:
    """Read the beginning of a table, and detect its encoding and separator.

    Raises:
        UserError: if the file cannot be read, is not text, or is empty.
    """
    with readable_text(path), path.open("rb") as file:
        start = file.read(HEAD)
        encoding = find_encoding(path, start)
        text = codecs.getincrementaldecoder(encoding)().decode(start, final=len(start) < HEAD)
    lines = list(io.StringIO(text, newline=None))
    if len(start) == HEAD and len(lines) > 1:
        del lines[-1]  # it may be truncated
    separators: Sequence[str] = SEPARATORS
    if lines and (named := _SEPARATOR_LINE.fullmatch(lines[0])):
        lines[0], separators = "\n", named[1]  # a blank line, to keep the line numbers
    found: list[tuple[float, Head]] = []
    for separator in separators:
        head = Head(path, encoding, separator, tuple(islice(_split(lines, separator), HEAD_ROWS)))
        if not head.rows:
            raise _empty(path)
        found.append((_quality(head), head))
    return max(found, key=lambda one: one[0])[1]  # max returns the first of equal values


def _split(lines: Sequence[str], separator: str) -> Iterator[tuple[int, list[str]]]:
    if separator == " ":
        rows: Iterator[tuple[int, list[str]]] = ((n, line.split()) for n, line in enumerate(lines, start=1))
    else:
        reader = csv.reader(lines, delimiter=separator)
        rows = ((reader.line_num, fields) for fields in reader)
    try:
        for line, fields in rows:
            if any(field.strip() for field in fields):
                yield line, [field.strip() for field in fields]
    except csv.Error:
        return  # pandas reports what is wrong with that row


def _quality(head: Head) -> float:
    """Score a separator: high if fields are image names and rows have the same number of fields; 0 for one field."""
    width = head.width
    if width < 2 or len(head.rows[0][1]) < 2:
        return 0.0
    named = sum(any(map(is_image, fields)) for _, fields in head.rows)
    even = sum(len(fields) == width for _, fields in head.rows)
    return 2 * named + even + (head.separator != " ") * len(head.rows)  # spaces also occur in names


def split_line(head: Head, line: int) -> list[str]:
    """Read one line of a file again and split it strictly, to report its error.

    Raises:
        UserError: if it is not a csv row, or the file cannot be read.
    """
    with readable_text(head.path), head.path.open(encoding=head.encoding) as file:
        text = next((text for number, text in enumerate(file, start=1) if number == line), "")
    if head.separator == " ":
        return text.split()
    try:
        return next(csv.reader([text], delimiter=head.separator, strict=True), [])
    except csv.Error as error:
        raise UserError(f"{head.path}, line {line}: not a csv row ({error}). Download the file again.") from error
