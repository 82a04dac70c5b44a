"""Your own faces: one folder per class, or a table of images and labels.

The folders or labels name the classes. Known emotions come first, in the order of
:data:`~mfer_lightning.emotions.EMOTIONS`, in any common spelling (a folder ``Happy`` is happiness); your own classes
follow alphabetically. Numbers are not class names: ``dataset.class_names`` defines their meaning.

Any of these layouts::

    folder/                    folder/                folder/
    ├── train/                 ├── happiness/         ├── labels.csv   (path,label[,split])
    │   ├── happiness/ ...     │   └── 1.jpg ...     └── images/
    │   └── anger/ ...         └── anger/ ...             └── 1.jpg ...
    ├── val/ ...
    └── test/ ...
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mfer_lightning.data.datasets.base import FaceDataModule
from mfer_lightning.data.datasets.declaration import DatasetInfo, Layout
from mfer_lightning.data.datasets.registry import (
    get_protocol,
    inner_folders,
    looks_like,
    missing_dataset,
    number_orders,
)
from mfer_lightning.data.index import PARTITIONS, FaceIndex
from mfer_lightning.data.labels.class_folders import PARTITION_FOLDERS, find_partitions, left_out, scan_class_folders
from mfer_lightning.data.labels.face_tables import FoundTable, find_tables, inspect, partition_of, read_faces
from mfer_lightning.data.labels.image_files import listing
from mfer_lightning.data.labels.numbers import Given, is_number, read_labels
from mfer_lightning.data.labels.table_or_folders import compare, emotion_folders
from mfer_lightning.data.protocols import Protocol
from mfer_lightning.emotions import canonical
from mfer_lightning.errors import UserError
from mfer_lightning.plurals import counted

#: Both layouts of class folders have the same name, because they differ only in whether there are partitions.
CLASS_FOLDERS = Layout("class folders", "train/<class>/, with val/<class>/ and test/<class>/ if you have them")
CLASSES_ALONE = Layout("class folders", "<class>/ at the top level")
TABLE = Layout("csv table (path, label)", "a csv with the columns path,label")

#: ``dataset.table``: read the class folders and ignore tables.
NO_TABLE = "none"

INFO = DatasetInfo(
    name="folder",
    title="A folder of faces",
    paper="your own",
    access=(
        "put your images into one folder per class, named after the emotion (happiness/, anger/, ...), either at "
        "the top level or under train/, val/ and test/; or write a csv with the columns path,label and optionally "
        "split."
    ),
    alignment="as recorded by mfer align in alignment.json",
    layouts=(CLASS_FOLDERS, CLASSES_ALONE, TABLE),
    protocols=(Protocol("folder@holdout", ()), Protocol("folder@native", (), val="val")),
)


class FolderDataModule(FaceDataModule):
    """A folder of faces for Lightning; layouts: :mod:`mfer_lightning.data.datasets.folder`.

    Protocols: ``native`` (select on your val images), ``holdout`` (a tenth of train is held out for selection) and
    ``auto``: native if there are val images, otherwise holdout.

    Args:
        root: the folder, or a table.
        protocol: ``auto``, ``native`` or ``holdout``; None: ``auto``.
        table: name of the table in the folder, or several; ``"none"``: read class folders; None: detect.
        columns: role (``path``, ``label``, ``split``) -> name or position of a column of the table; None: detect.
        class_names: meaning of numeric labels: class names in the order of their numbers, number -> class name, or the
            name of a dataset with the same numbers.
        options: arguments of :class:`FaceDataModule`.
    """

    info = INFO

    def __init__(
        self,
        root: str | Path,
        *,
        protocol: str | None = "auto",
        table: str | Sequence[str] | None = None,
        columns: Mapping[str, Any] | None = None,
        class_names: Given = None,
        **options: Any,
    ) -> None:
        self.chooses = protocol in (None, "auto")
        self.table, self.columns, self.names = table, columns, class_names
        super().__init__(root, protocol=None if self.chooses else protocol, **options)

    def read(self) -> FaceIndex:
        """Read the files in any of the layouts."""
        return read_folder(
            self.root,
            table=self.table,
            columns=self.columns,
            class_names=self.names,
            trust_labels=self.trust_labels,
        )

    def choose_protocol(self, index: FaceIndex) -> Protocol:
        """Return the requested protocol; for ``auto``, ``native`` if there are val images, otherwise ``holdout``."""
        if not self.chooses:
            return self.protocol
        return get_protocol("folder", "native" if bool((index.partition == "val").any()) else "holdout")


def read_folder(
    root: str | Path,
    *,
    table: str | Sequence[str] | None = None,
    columns: Mapping[str, Any] | None = None,
    class_names: Given = None,
    trust_labels: bool = False,
) -> FaceIndex:
    """Read class folders or a table.

    Partitions may also be called ``training``, ``valid``, ``validation`` and ``testing``; val and test may be absent.
    Class folders directly under the root belong to the partition train. A table is ``root`` itself or a file in it, and
    its paths are relative to its folder; supported formats are described in :mod:`mfer_lightning.data.labels.tables`
    and :mod:`~mfer_lightning.data.labels.columns`. Several tables are read if their names contain their partitions.
    Other columns become attributes.

    Args:
        root: the folder, or the table.
        table: as for :class:`FolderDataModule`.
        columns: as for :class:`FolderDataModule`.
        class_names: as for :class:`FolderDataModule`.
        trust_labels: do not reject files that look like another dataset.

    Returns:
        Faces with the classes named by the folders or labels, in any known spelling, in the order of ``class_names`` or
        otherwise of :func:`~mfer_lightning.data.labels.numbers.order_of`. Empty folders count as classes.

    Raises:
        UserError: if nothing is found, there are fewer than two classes, classes are numbers without names, two folders
            mean the same class, a table and the class folders next to it disagree, a row is malformed, an image is
            listed twice (except in rows of one table with the same label and split) or missing, val or test has a class
            that train lacks (unless ``class_names`` is given), or the folder contains another dataset.
    """
    root = Path(root)
    if root.is_file():
        return _read_tables(root.parent, [_usable(inspect(root, columns))], class_names)
    if table is not None and table != NO_TABLE:
        paths = [root / name for name in ([table] if isinstance(table, str) else table)]
        for path in paths:
            if not path.is_file():
                raise UserError(f"dataset.table={table}: there is no file {path.name} in {root}.")
        return _read_tables(root, _choose(root, [_usable(inspect(path, columns)) for path in paths]), class_names)
    if not trust_labels:
        _refuse_known(root)
    partitions = find_partitions(root, PARTITION_FOLDERS) or ({"train": "."} if listing(root)[0] else {})
    emotions = emotion_folders(root, partitions)
    tables = [] if table == NO_TABLE else find_tables(root, columns)
    if emotions:  # the class folders suffice, and a text file may be an unrelated list
        tables = [one for one in tables if one.path.suffix.lower() == ".csv"]
    usable = [one for one in tables if one.columns]
    if usable:
        return _read_tables(root, _choose(root, usable), class_names, emotions)
    asked = [one for one in tables if not partitions or one.path.suffix.lower() == ".csv"]
    unclear = next((one for one in asked if one.names_images or columns), None)
    if unclear is not None and not emotions:
        instead = f" To read the class folders instead: dataset.table={NO_TABLE}." if partitions else ""
        raise UserError(f"{unclear.problem}{instead}")
    try:
        if not partitions:
            raise missing_dataset(INFO, root)
        return _read_folders(root, partitions, class_names)
    except UserError as error:
        if not tables:
            raise
        raise UserError(f"{error}\n{tables[0].path.name} was not read: {tables[0].problem}") from error


def _refuse_known(root: Path) -> None:
    """Reject a folder that looks like another dataset, at its root or one level below."""
    for folder in (root, *(inner for inner in inner_folders(root) if not listing(inner)[1])):
        known = looks_like(folder)
        if known is not None:
            raise UserError(
                f"{folder} looks like {known.title}, which has a separate reader for its labels and official splits: "
                f"use dataset={known.name} dataset.root={folder}. If the labels are nevertheless your own, use "
                "dataset.trust_labels=true."
            )


def _usable(table: FoundTable) -> FoundTable:
    if table.problem:
        raise UserError(table.problem)
    return table


def _choose(root: Path, tables: list[FoundTable]) -> list[FoundTable]:
    """Return the single table, or several if each covers its own partition."""
    parts = [partition_of(table.path) for table in tables]
    if len(tables) > 1 and (None in parts or len(set(parts)) < len(parts)):
        raise UserError(
            f"{root} contains several tables: {', '.join(table.path.name for table in tables)}. "
            f"Choose the one to read, e.g. dataset.root={tables[0].path}."
        )
    return tables


def _read_folders(root: Path, partitions: Mapping[str, str], given: Given) -> FaceIndex:
    for folder in partitions.values():
        deeper, images = listing(root / folder)
        if images and not deeper:
            raise UserError(
                f"{root / folder} contains {counted(len(images), 'image')} and no class folders, so the labels are "
                "unknown. Put the images into one folder per class, or write a csv with the columns path,label."
            )
    found = scan_class_folders(root, partitions, lambda path: canonical(path.rpartition("/")[2]))
    meaning, class_names = read_labels({folder.name for folder in found}, given, number_orders(), str(root))
    if any(map(is_number, meaning)):  # again, to reject two folders of one class
        found = scan_class_folders(root, partitions, lambda path: meaning[path.rpartition("/")[2]])
    rows = [row for folder in found for row in folder.rows(class_names)]
    return _index(root, CLASS_FOLDERS, rows, class_names, root, given, notes=left_out(found))


def _read_tables(
    root: Path, tables: Sequence[FoundTable], given: Given, emotions: Sequence[str] | None = None
) -> FaceIndex:
    """Read tables.

    Args:
        root: folder of the dataset.
        tables: the tables.
        given: meaning of labels, as given by the user.
        emotions: class folders next to the tables, to compare with; None if the user chose the tables.
    """
    faces = read_faces(tables, root)
    source = root if len(tables) > 1 else tables[0].path
    meaning, class_names = read_labels(set(faces.labels), given, number_orders(), str(source))
    labels = [meaning[label] for label in faces.labels]
    if emotions is not None:
        faces.notes += compare(root, [table.path for table in tables], faces.paths, labels, meaning, emotions)
    order = sorted(range(len(labels)), key=lambda row: PARTITIONS.index(faces.partitions[row]))  # stable
    rows = [(faces.paths[row], faces.partitions[row], class_names.index(labels[row])) for row in order]
    attributes = {name: column[order] for name, column in faces.columns().items()}
    return _index(root, TABLE, rows, class_names, source, given, notes=tuple(faces.notes), attributes=attributes)


def _index(
    root: Path,
    layout: Layout,
    rows: Sequence[tuple[str, str, int]],
    class_names: tuple[str, ...],
    source: Path,
    given: Given,
    **columns: Any,
) -> FaceIndex:
    if not rows:
        raise UserError(
            f"{source} ({layout.name}) contains no images. Its classes: {', '.join(class_names) or 'none'}."
        )
    if len(class_names) < 2:
        raise UserError(
            f"{source} ({layout.name}) has only one class, {class_names[0]}. Set "
            "dataset.root to the folder that contains train/ or the class folders."
        )
    trained = {label for _, partition, label in rows if partition == "train"}
    untrained = {label for _, _, label in rows} - trained
    if trained and untrained and given is None:  # without training faces, the folder can only be used for evaluation
        raise UserError(
            f"{source} ({layout.name}) has images of {', '.join(class_names[k] for k in sorted(untrained))} in val or "
            "test but none in train, so a model cannot learn these classes. Add training images, remove those images, "
            f"or list all classes with dataset.class_names=[{','.join(class_names)}] to evaluate on them anyway."
        )
    return FaceIndex.from_rows(
        rows, dataset=INFO.name, layout=layout.name, root=root, class_names=class_names, **columns
    )
