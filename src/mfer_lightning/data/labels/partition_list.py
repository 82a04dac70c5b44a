"""Lists of images whose names start with their split, train or test: ``train_00001.jpg 5``, as in RAF-DB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from mfer_lightning.data.labels.image_files import files_in
from mfer_lightning.data.labels.locate import check_images, locate_images
from mfer_lightning.data.labels.numbers import whole_number
from mfer_lightning.data.labels.table_head import read_head
from mfer_lightning.data.labels.tables import check_name, check_unique, read_table
from mfer_lightning.errors import UserError

#: Names of such a list; the first is the published spelling.
LIST_NAMES = ("list_patition_label.txt", "list_partition_label.txt")


def part_in_name(name: str) -> str | None:
    """Return the split that the name of an image starts with, or None if it does not start with one.

    Example:
        >>> part_in_name("test_0001.jpg"), part_in_name("0001.jpg")
        ('test', None)
    """
    return next((part for part in ("train", "test") if name.startswith(f"{part}_")), None)


def read_partition_list(
    root: Path, path: Path, folders: Mapping[str, str], class_names: Sequence[str], title: str
) -> tuple[list[tuple[str, str, int]], tuple[str, ...]]:
    """Read a list of image names and labels.

    Args:
        root: the dataset's folder.
        path: the list, with an image name and a label from 1 to K per line. The files may have exactly these names, or
            ``_aligned`` before the suffix.
        folders: split -> folder of its images relative to ``root``; a split without any images is left out.
        class_names: the K classes in the order of their numbers.
        title: usual name of the dataset.

    Returns:
        Path, split and label (from 0) of each face, train before test, and notes for the user.

    Raises:
        UserError: if the list is malformed or lists a file twice, a label is out of range, or images are missing.
    """
    head = read_head(path)
    form = "an image name and a label (such as train_00001.jpg 5)"
    table = read_table(head, skip_header=head.has_header, width=2, form=form)
    listed: list[tuple[str, int]] = []
    for row, (text, label) in enumerate(zip(*table.columns.values(), strict=True)):
        name = check_name(text, path, table.lines[row])
        if part_in_name(name) is None or "/" in name:
            raise table.refuse(row, "an image name that starts with train_ or test_", name)
        number = whole_number(label)
        if number is None:
            raise table.refuse(row, f"a label from 1 to {len(class_names)}", label)
        if not 1 <= number <= len(class_names):
            legal = ", ".join(f"{k} {name}" for k, name in enumerate(class_names, start=1))
            raise UserError(
                f"{path}, line {table.lines[row]}: the label {label} is out of range. {title}'s labels are {legal}. "
                "Another numbering would give the faces wrong emotions. Download the list again."
            )
        listed.append((name, number - 1))
    check_unique([name for name, _ in listed], table.lines, path)

    present = {folder: files_in(root / folder) for folder in folders.values()}
    rows: list[tuple[str, str, int]] = []
    notes = table.notes
    for part in ("train", "test"):
        folder = folders.get(part, "")
        files = present.get(folder, set())
        mine = [(_file_of(name, files), label) for name, label in listed if part_in_name(name) == part]
        if {file.casefold() for file in files}.isdisjoint(file.casefold() for file, _ in mine):
            continue
        paths, found = locate_images(root, [f"{folder}/{file}" for file, _ in mine], path)
        notes += found
        rows += [(image, part, label) for image, (_, label) in zip(paths, mine, strict=True)]
    if not rows:
        first = next(iter(folders.values()), "")
        every = [f"{folders.get(str(part_in_name(name)), first)}/{_file_of(name, set())}" for name, _ in listed]
        check_images(root, every, path)  # none of them exists: raises the error
    return rows, notes


def _file_of(name: str, present: set[str]) -> str:
    """Return the file name of a listed image: with ``_aligned`` as published, or exactly as in the list."""
    path = PurePosixPath(name)
    aligned = name if path.stem.endswith("_aligned") else f"{path.stem}_aligned{path.suffix}"
    return name if name in present and aligned not in present else aligned
