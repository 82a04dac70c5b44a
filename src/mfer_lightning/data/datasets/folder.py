"""Your own faces: one folder a class, or a csv table of images and labels.

The folders or labels name the classes. Known emotions come first, in the order of
:data:`~mfer_lightning.emotions.EMOTIONS`, in any common spelling (a folder ``Happy`` is happiness); classes of your own
follow alphabetically.

Any of these layouts::

    folder/                    folder/                folder/
    ├── train/                 ├── happiness/         ├── labels.csv   (path,label[,split])
    │   ├── happiness/ ...     │   └── 1.jpg ...     └── images/
    │   └── anger/ ...         └── anger/ ...             └── 1.jpg ...
    ├── val/ ...
    └── test/ ...
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mfer_lightning.data.datasets.base import FaceDataModule
from mfer_lightning.data.datasets.declaration import DatasetInfo, Layout
from mfer_lightning.data.datasets.registry import get_protocol, looks_like, missing_dataset
from mfer_lightning.data.index import PARTITIONS, FaceIndex
from mfer_lightning.data.labels.class_folders import PARTITION_FOLDERS, find_partitions, scan_class_folders
from mfer_lightning.data.labels.image_files import check_images, files_in, listing
from mfer_lightning.data.labels.tables import check_name, check_unique, malformed, read_csv
from mfer_lightning.data.protocols import Protocol
from mfer_lightning.emotions import EMOTIONS, canonical
from mfer_lightning.errors import UserError

#: Both layouts of class folders have one name: they differ in whether there are partitions.
CLASS_FOLDERS = Layout("class folders", "train/<class>/, with val/<class>/ and test/<class>/ if you have them")
CLASSES_ALONE = Layout("class folders", "<class>/ straight away")
TABLE = Layout("csv table (path, label)", "a csv with the columns path,label")

_SPLITS = {name: partition for partition, names in PARTITION_FOLDERS.items() for name in names}

INFO = DatasetInfo(
    name="folder",
    title="A folder of faces",
    paper="your own",
    access=(
        "put your images into one folder a class, named by the emotion (happiness/, anger/, ...), either straight away "
        "or under train/, val/ and test/; or write a csv with the columns path,label and, if you like, split."
    ),
    alignment="as mfer align recorded it beside the faces",
    layouts=(CLASS_FOLDERS, CLASSES_ALONE, TABLE),
    protocols=(Protocol("folder@holdout", ()), Protocol("folder@native", (), val="val")),
)


class FolderDataModule(FaceDataModule):
    """A folder of faces for Lightning; layouts: :mod:`mfer_lightning.data.datasets.folder`.

    Protocols: ``native`` (select on your val images), ``holdout`` (a tenth of train is held out to select on) and
    ``auto``: native where there are val images, else holdout.

    Args:
        root: the folder, or the csv itself.
        protocol: ``auto``, ``native`` or ``holdout``; None: ``auto``.
        options: as :class:`FaceDataModule`.
    """

    info = INFO

    def __init__(self, root: str | Path, *, protocol: str | None = "auto", **options: Any) -> None:
        self.chooses = protocol in (None, "auto")
        super().__init__(root, protocol=None if self.chooses else protocol, **options)

    def read(self) -> FaceIndex:
        """Read whichever layout is there."""
        return read_folder(self.root)

    def choose_protocol(self, index: FaceIndex) -> Protocol:
        """Return the protocol named, or the one that suits the partitions that are there."""
        if not self.chooses:
            return self.protocol
        return get_protocol("folder", "native" if bool((index.partition == "val").any()) else "holdout")


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

    Partitions may also be called ``training``, ``valid``, ``validation`` and ``testing``; val and test may be absent.
    Class folders straight under the root are all of the partition train. The columns of a table may be in any order;
    it is ``root`` itself, or the only such file in it, and its paths are relative to its folder.

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
    known = looks_like(root)
    if known is not None:
        raise UserError(
            f"{root} looks like {known.title}, which has a reader of its own that knows its labels and official parts: "
            f"say dataset={known.name} dataset.root={root}."
        )
    partitions = find_partitions(root, PARTITION_FOLDERS)
    if not partitions and listing(root)[0]:
        partitions = {"train": "."}
    if not partitions:
        raise missing_dataset(INFO, root)
    return _read_folders(root, partitions)


def _read_folders(root: Path, partitions: Mapping[str, str]) -> FaceIndex:
    for folder in partitions.values():
        deeper, images = listing(root / folder)
        if images and not deeper:
            raise UserError(
                f"{root / folder} holds {len(images):,} images and no class folders, so their labels are not known. "
                "Put them into one folder a class, or write a csv with the columns path,label."
            )
    found = scan_class_folders(root, partitions, lambda path: canonical(path.rpartition("/")[2]))
    class_names = order_of(folder.class_name for folder in found)
    return _index(root, CLASS_FOLDERS, [row for folder in found for row in folder.rows(class_names)], class_names, root)


def _find_table(root: Path) -> Path | None:
    """Return the only csv in a folder whose first row names a path and a label."""
    files = [root / name for name in sorted(files_in(root)) if name.lower().endswith(".csv") and name[0] != "."]
    tables = [file for file in files if {"path", "label"} <= set(_header(file))]
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
    if not {"path", "label"} <= set(header):
        raise malformed(path, 1, "the columns path,label or path,label,split", ",".join(header)[:120])
    column = {name: header.index(name) for name in ("path", "label", "split") if name in header}
    rows: list[tuple[str, str, str]] = []
    lines: list[int] = []
    for line, fields in list(read_csv(path))[1:]:
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
    names = [name for name, _, _ in rows]
    check_unique(names, lines, path)
    check_images(path.parent, names, path)
    class_names = order_of(label for _, _, label in rows)
    rows.sort(key=lambda row: PARTITIONS.index(row[1]))  # a stable sort: within a partition the table's order stays
    numbered = [(name, partition, class_names.index(label)) for name, partition, label in rows]
    return _index(path.parent, TABLE, numbered, class_names, path)


def _index(
    root: Path, layout: Layout, rows: Sequence[tuple[str, str, int]], class_names: tuple[str, ...], source: Path
) -> FaceIndex:
    if not rows:
        raise UserError(f"{source} ({layout.name}) holds no image. Its classes: {', '.join(class_names) or 'none'}.")
    if len(class_names) < 2:
        raise UserError(
            f"{source} ({layout.name}) has one class only, {class_names[0]}: there is nothing to tell apart. Name the "
            "folder that holds train/, or the class folders, with dataset.root=<folder>."
        )
    return FaceIndex.from_rows(rows, dataset=INFO.name, layout=layout.name, root=root, class_names=class_names)
