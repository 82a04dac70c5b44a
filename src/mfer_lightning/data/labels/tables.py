"""Read label tables with pandas: all values as text, with the line number of each row."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mfer_lightning.data.labels.table_head import Head, malformed, readable_text, split_line
from mfer_lightning.errors import UserError
from mfer_lightning.plurals import counted

#: Parts of a name that need further checks.
_UNUSUAL = re.compile(r"[:\x00]|\.\.|\./|//|/\.?$")


@dataclass(frozen=True)
class Table:
    """The non-blank rows of a file.

    Args:
        head: beginning of the file.
        columns: position of a column -> its stripped values, one per row.
        lines: line number of each row.
        width: expected number of fields per row.
        form: expected format of a row in words, for messages.
        notes: information for the user.
    """

    head: Head
    columns: Mapping[int, list[str]]
    lines: Sequence[int]
    width: int
    form: str
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.lines)

    def refuse(self, row: int, expected: str, got: object) -> UserError:
        """Return the error for a malformed row.

        Args:
            row: position of the row in the table.
            expected: what was expected, in words. If the row has too few fields, that is reported instead.
            got: the value.
        """
        fields = split_line(self.head, self.lines[row])
        if len(fields) < self.width:
            return malformed(self.head.path, self.lines[row], self.form, counted(len(fields), "field"))
        return malformed(self.head.path, self.lines[row], expected, got)


def read_table(
    head: Head, *, skip_header: bool, width: int | None = None, use: Sequence[int] | None = None, form: str = ""
) -> Table:
    """Read all rows of a table.

    Args:
        head: result of :func:`read_head`.
        skip_header: whether the first row is a header.
        width: expected number of fields; None: that of the header, or the most common one.
        use: positions of the columns to read; None: all. Other columns are not validated.
        form: expected format of a row in words; empty: the number of fields.

    Raises:
        UserError: if the file cannot be read, is not a table, or a row has too many fields.
    """
    import pandas as pd  # takes a third of a second, which would delay help and error messages

    path = head.path
    width = width or (len(head.rows[0][1]) if skip_header else head.width)
    form = form or counted(width, "field")
    widest = max(len(fields) for _, fields in head.rows)
    skipped = head.rows[0][0] - (not skip_header)  # also skip lines above the first row
    options = {
        "header": None,
        "names": range(max(width + 1, widest)),  # one more, to detect rows with too many fields
        "index_col": False,
        "usecols": use,
        "dtype": str,
        "na_filter": False,
        "skip_blank_lines": False,  # so that row and line numbers match
        "skiprows": skipped,
        "sep": r"\s+" if head.separator == " " else head.separator,
    }
    if use is not None:
        options["names"] = range(widest)
    notes: tuple[str, ...] = ()
    with readable_text(path):
        try:
            try:
                frame = pd.read_csv(path, encoding=head.encoding, **options)
            except UnicodeDecodeError:  # a character that is not UTF-8, after the head
                if head.encoding == "utf-16":
                    raise
                head = head._replace(encoding="latin-1")
                frame = pd.read_csv(path, encoding=head.encoding, **options)
        except pd.errors.EmptyDataError:
            return Table(head, {i: [] for i in use or range(width)}, [], width, form)
        except pd.errors.ParserError as error:
            raise _unparsed(path, form, str(error)) from error
    if head.encoding == "latin-1":
        notes = (f"{path.name} is not UTF-8 and was read as Latin-1: check its accented letters",)
    frame = frame.apply(lambda column: column.str.strip())
    frame = frame[(frame != "").any(axis=1)]
    lines = (frame.index + skipped + 1).tolist()
    columns = {int(i): frame[i].tolist() for i in frame.columns}
    for i in [i for i in columns if i >= width]:
        too_long = next((row for row, value in enumerate(columns.pop(i)) if value), None)
        if too_long is not None:
            raise malformed(path, lines[too_long], form, counted(len(split_line(head, lines[too_long])), "field"))
    return Table(head, columns, lines, width, form, notes)


def _unparsed(path: Path, form: str, message: str) -> UserError:
    """Return the error for a file that pandas could not parse."""
    wide = re.search(r"in line (\d+), saw (\d+)", message)
    if wide:
        return malformed(path, int(wide[1]), form, counted(int(wide[2]), "field"))
    open_quote = re.search(r"EOF inside string starting at row (\d+)", message)
    if open_quote:
        return UserError(
            f"{path}, line {int(open_quote[1]) + 1}: not a csv row (a quote is opened and never closed). "
            "Fix the row or download the file again."
        )
    return UserError(f"{path} is not a readable table ({message.strip()}). Fix the row or download the file again.")


def check_name(name: str, path: Path, line: int, base: Path | None = None) -> str:
    """Normalise an image name of a list: relative, with ``/`` as separator.

    Args:
        name: name as in the list.
        path: the list, for the message.
        line: line number of the name.
        base: folder that the name is relative to; an absolute path inside it is made relative. None: absolute paths are
            rejected.

    Raises:
        UserError: if the name points outside of the folder (absolute, or with ``..``).
    """
    plain = name.strip().replace("\\", "/")
    if base is not None and plain.startswith(("/", base.drive or "/")):
        for inside in (base.absolute().as_posix(), base.resolve().as_posix()):
            plain = plain.removeprefix(f"{inside.rstrip('/')}/")
    if plain and plain[0] != "/" and not _UNUSUAL.search(plain):
        return plain
    parts = PurePosixPath(plain).parts
    if plain.startswith("/") or ".." in parts or (parts and ":" in parts[0]) or "\0" in plain:
        raise UserError(
            f"{path}, line {line}: the image name {name!r} points outside the dataset's folder. "
            "Listed files must be inside it, without '..'."
        )
    return str(PurePosixPath(plain)) if plain else plain  # `./a.png` and `a.png` are the same image


def repeated_rows(number: int, path: Path) -> str:
    """Return the note that rows equal to earlier rows of a table were left out."""
    words = counted(number, f"row of {path.name} repeats", f"rows of {path.name} repeat")
    return f"{words} an earlier row and {'was' if number == 1 else 'were'} left out"


def check_unique(names: Sequence[str], lines: Sequence[int], path: Path) -> None:
    """Check that a list contains no file twice.

    Args:
        names: the names, in the order of the list.
        lines: the line number of each name.
        path: the list, for the message.

    Raises:
        UserError: if a file is listed twice; the message gives the first repetition with both lines.
    """
    if len(set(names)) == len(names):
        return
    first: dict[str, int] = {}
    for name, line in zip(names, lines, strict=True):
        if name in first:
            repeated = len(names) - len(set(names))
            raise UserError(
                f"{path} lists a file twice: {name} on lines {first[name]} and {line} "
                f"({counted(repeated, 'repetition')} in all). Keep one of them."
            )
        first[name] = line
