"""Anybody's faces: one folder a class, or a csv table of images and labels."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from mfer_lightning.data.index import PARTITIONS, FaceIndex
from mfer_lightning.data.readers.class_folders import (
    PARTITION_FOLDERS,
    check_one_folder_each,
    find_partitions,
    listing,
    scan_class_folders,
)
from mfer_lightning.data.readers.common import (
    check_images,
    check_name,
    check_unique,
    files_in,
    malformed,
    missing_dataset,
    read_csv,
    signature,
)
from mfer_lightning.data.readers.layouts import CLASS_FOLDERS, TABLE
from mfer_lightning.emotions import EMOTIONS, canonical
from mfer_lightning.errors import UserError

_HOW_TO_GET = (
    "put your images into one folder a class, named by the emotion (happiness/, anger/, ...), either straight away or "
    "under train/, val/ and test/; or write a csv with the columns path,label and, if you like, split."
)
_SPLITS = {name: partition for partition, names in PARTITION_FOLDERS.items() for name in names}


def order_of(names: Iterable[str]) -> tuple[str, ...]:
    """Return class names in their order: the known emotions as in ``EMOTIONS``, then all others alphabetically.

    Example:
        >>> order_of(["boredom", "anger", "awe", "neutral"])
        ('neutral', 'anger', 'awe', 'boredom')
    """
    known = set(names)
    return tuple(name for name in EMOTIONS if name in known) + tuple(sorted(known - set(EMOTIONS)))


def read_folder(root: str | Path) -> FaceIndex:
    """Read class folders or a table.

    - ``train/<class>/``, ``val/<class>/`` and ``test/<class>/`` (also ``valid``, ``validation``, ``training``,
      ``testing``); val and test may be absent.
    - ``<class>/`` straight under the root: all of it is the partition train.
    - A csv with the columns ``path,label`` or ``path,label,split`` in any order: ``root`` itself, or the only such file
      in it. Paths are relative to its folder.

    Args:
        root: the folder, or the csv.

    Returns:
        Faces with the classes that the folders or labels name, in any known spelling, in the order of
        :func:`order_of`. Empty folders count as classes.

    Raises:
        UserError: where nothing is found, there are fewer than two classes, two folders mean one class, a row is
            malformed, an image is listed twice or missing, or the folder is another dataset's.
    """
    root = Path(root)
    table = root if root.is_file() and root.suffix.lower() == ".csv" else _find_table(root)
    if table is not None:
        return _read_table(table)
    known = signature(root) if root.is_dir() else None
    if known is not None:
        raise UserError(
            f"{root} looks like {known[0]}, which has a reader of its own that knows its labels and official parts: "
            f"say dataset={known[1]} dataset.root={root}."
        )
    partitions = find_partitions(root, PARTITION_FOLDERS)
    if not partitions and listing(root)[0]:
        partitions = {"train": "."}
    if not partitions:
        raise missing_dataset(
            "A folder of faces",
            root,
            [
                "train/<class>/, with val/<class>/ and test/<class>/ if you have them",
                "<class>/ straight away",
                "a csv with the columns path,label",
            ],
            _HOW_TO_GET,
        )
    return _read_folders(root, partitions)


def _read_folders(root: Path, partitions: dict[str, str]) -> FaceIndex:
    for folder in partitions.values():
        deeper, images = listing(root / folder)
        if images and not deeper:
            raise UserError(
                f"{root / folder} holds {len(images):,} images and no class folders, so their labels are not known. "
                "Put them into one folder a class, or write a csv with the columns path,label."
            )
    found = scan_class_folders(root, partitions)
    classes = [canonical(folder.name) for folder in found]
    check_one_folder_each(found, classes, root)
    rows = [
        (f"{folder.path}/{image}", folder.partition, name)
        for folder, name in zip(found, classes, strict=True)
        for image in folder.images
    ]
    return _index(root, CLASS_FOLDERS, rows, order_of(classes), root)


def _find_table(root: Path) -> Path | None:
    """Return the only csv in a folder whose first row names a path and a label."""
    tables = []
    for name in sorted(files_in(root)):
        if name.lower().endswith(".csv") and not name.startswith("."):
            header = _header(root / name)
            if "path" in header and "label" in header:
                tables.append(root / name)
    if len(tables) > 1:
        raise UserError(
            f"{root} holds several tables: {', '.join(table.name for table in tables)}. "
            f"Name the one to read, e.g. dataset.root={tables[0]}."
        )
    return tables[0] if tables else None


def _header(path: Path) -> list[str]:
    return [name.strip().lower() for name in next(read_csv(path))[1]]


def _read_table(path: Path) -> FaceIndex:
    header = _header(path)
    unknown = [name for name in ("path", "label") if name not in header]
    if unknown:
        raise malformed(path, 1, "the columns path,label or path,label,split", ",".join(header)[:120])
    column = {name: header.index(name) for name in ("path", "label", "split") if name in header}
    rows: list[tuple[str, str, str]] = []
    lines: list[int] = []
    for number, (line, fields) in enumerate(read_csv(path)):
        if number == 0:
            continue
        if len(fields) != len(header):
            raise malformed(path, line, f"{len(header)} fields ({','.join(header)})", f"{len(fields)} fields")
        name = check_name(fields[column["path"]], path, line)
        label = canonical(fields[column["label"]])
        split = fields[column["split"]].strip().lower() if "split" in column else "train"
        if not name or not label:
            raise malformed(path, line, "a path and a label", ",".join(fields)[:120])
        if split not in _SPLITS:
            raise malformed(path, line, f"a split of {', '.join(PARTITIONS)}", split)
        rows.append((name, _SPLITS[split], label))
        lines.append(line)
    check_unique([name for name, _, _ in rows], lines, path)
    check_images(path.parent, [name for name, _, _ in rows], path)
    rows.sort(key=lambda row: PARTITIONS.index(row[1]))  # a stable sort: within a partition the table's order stays
    return _index(path.parent, TABLE, rows, order_of(label for _, _, label in rows), path)


def _index(
    root: Path, layout: str, rows: list[tuple[str, str, str]], class_names: tuple[str, ...], source: Path
) -> FaceIndex:
    if not rows:
        raise UserError(f"{source} ({layout}) holds no image. Its classes: {', '.join(class_names) or 'none'}.")
    if len(class_names) < 2:
        raise UserError(
            f"{source} ({layout}) has one class only, {class_names[0]}: there is nothing to tell apart. Name the "
            "folder that holds train/, or the class folders, with dataset.root=<folder>."
        )
    return FaceIndex(
        dataset="folder",
        layout=layout,
        root=root,
        class_names=class_names,
        path=np.array([path for path, _, _ in rows]),
        partition=np.array([partition for _, partition, _ in rows]),
        label=np.array([class_names.index(label) for _, _, label in rows], dtype=np.int64),
    )
