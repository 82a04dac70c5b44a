"""Registry of datasets: those of this package and of any other imported package.

A datamodule with a class attribute ``info`` registers its declaration when its class is created
(:class:`~mfer_lightning.data.datasets.base.FaceDataModule`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from mfer_lightning.data.datasets.declaration import DatasetInfo
from mfer_lightning.data.labels.class_folders import PARTITION_FOLDERS
from mfer_lightning.data.labels.image_files import contents, some, unreadable
from mfer_lightning.data.labels.numbers import ORDERS, Order
from mfer_lightning.data.protocols import Protocol
from mfer_lightning.emotions import canonical
from mfer_lightning.errors import UserError, nearest

#: Number of images and subfolders per folder that are checked to recognise a dataset.
_LOOKED_AT = 8

#: Number of subfolders checked for another dataset.
_MOST_FOLDERS = 20

#: Suffixes of table formats that are not read.
_OTHER_TABLES = (".xlsx", ".xls", ".xlsm", ".ods", ".numbers", ".json", ".jsonl", ".parquet", ".xml", ".pkl", ".mat")

#: Name -> declaration, and the class that declared it.
_DATASETS: dict[str, tuple[DatasetInfo, str]] = {}


def register(info: DatasetInfo, declared_by: str) -> None:
    """Register a dataset.

    Args:
        info: declaration of the dataset.
        declared_by: dotted name of the class; the same class may register a dataset repeatedly.

    Raises:
        UserError: if another class has registered a dataset with this name.
    """
    other = _DATASETS.get(info.name, (info, declared_by))[1]
    if other != declared_by:
        raise UserError(f"The dataset {info.name!r} is declared by {other} and by {declared_by}. Rename one of them.")
    _DATASETS[info.name] = info, declared_by


def known_datasets() -> tuple[str, ...]:
    """Return the names of all datasets."""
    return tuple(_DATASETS)


def dataset_infos() -> tuple[DatasetInfo, ...]:
    """Return the declarations of all datasets."""
    return tuple(info for info, _ in _DATASETS.values())


def number_orders() -> dict[str, Order]:
    """Return dataset -> class order of the label numbers in its files, for datasets with declared, numbered classes."""
    declared = [(i.name, i.class_names, i.first_number) for i in dataset_infos() if i.class_names]
    return dict(ORDERS) | {name: Order(names, first) for name, names, first in declared if first is not None}


def find_dataset(name: str | None) -> DatasetInfo | None:
    """Return the declaration of a dataset, or None if it is unknown."""
    return _DATASETS[name][0] if name in _DATASETS else None


def dataset_info(name: str) -> DatasetInfo:
    """Return the declaration of a dataset.

    Args:
        name: e.g. ``"ferplus"``.

    Raises:
        UserError: if it is unknown; the message suggests similar names.

    Example:
        >>> dataset_info("ferplus").class_names[:3]
        ('neutral', 'happiness', 'surprise')
    """
    info = find_dataset(name)
    if info is None:
        raise UserError(f"There is no dataset called {name!r}: {nearest(name, known_datasets())}")
    return info


def find_protocol(name: str | None) -> Protocol | None:
    """Return the protocol called ``dataset@protocol``, or None if it is unknown."""
    info = find_dataset(str(name).partition("@")[0])
    return None if info is None else next((p for p in info.protocols if p.name == name), None)


def get_protocol(dataset: str, name: str | None = None) -> Protocol:
    """Return a protocol.

    Args:
        dataset: e.g. ``"ferplus"``.
        name: e.g. ``"majority"`` or ``"ferplus@majority"``; None: the default of the dataset.

    Raises:
        UserError: if the dataset or the protocol does not exist; the message lists the legal names.

    Example:
        >>> get_protocol("ferplus").name, get_protocol("rafdb", "paper").marked
        ('ferplus@majority', True)
    """
    protocols = {protocol.short_name: protocol for protocol in dataset_info(dataset).protocols}
    short = next(iter(protocols)) if name is None else name.removeprefix(f"{dataset}@")
    if short not in protocols:
        raise UserError(
            f"dataset.protocol={name} is not a protocol of {dataset}: {nearest(short, protocols)} "
            f"(all protocols: {', '.join(protocols)})"
        )
    return protocols[short]


def looks_like(folder: Path) -> DatasetInfo | None:
    """Return the dataset that a folder seems to contain, judged by datasets' ``marks`` and by image names, or None."""
    try:
        return _marked(folder) or named_like(_image_names(folder))
    except (OSError, UserError):
        return None  # only a hint: the reader reports unreadable folders


def inner_folders(root: Path) -> list[Path]:
    """Return the first subfolders that may be datasets; those named like a partition are left out."""
    parts = {name for names in PARTITION_FOLDERS.values() for name in names}
    return [root / name for name in contents(root).folders if name.lower() not in parts][:_MOST_FOLDERS]


def _marked(folder: Path) -> DatasetInfo | None:
    entries = {entry.name for entry in folder.iterdir()}
    return next((info for info in dataset_infos() if entries.intersection(info.marks)), None)


def named_like(names: Sequence[str]) -> DatasetInfo | None:
    """Return the dataset whose pattern matches more than half of the file names (without folders), or None."""
    for info in dataset_infos():
        if info.file_names and 2 * sum(bool(re.fullmatch(info.file_names, name)) for name in names) > len(names):
            return info
    return None


def _image_names(folder: Path, deep: int = 2) -> list[str]:
    """Return the names of a few images in a folder and some of its subfolders."""
    there = contents(folder)
    names = there.images[:_LOOKED_AT]
    for inner in there.folders[:_LOOKED_AT] if deep else ():
        names += _image_names(folder / inner, deep - 1)
    return names


def missing_dataset(info: DatasetInfo, root: Path) -> UserError:
    """Return the error for a dataset that is not at its expected location.

    Args:
        info: declaration of the dataset.
        root: the folder that was searched.
    """
    root = root.absolute()
    where = (
        "does not exist" if not root.exists() else "is not a folder" if not root.is_dir() else "has none of its files"
    )
    found = ""
    if root.is_dir():
        try:
            names = sorted(entry.name for entry in root.iterdir())
        except OSError as error:
            raise unreadable(root, error) from error
        found = f" It contains: {some(names, 6) or 'nothing'}.{_hint(info, root)}"
    return UserError(
        f"{info.title} was not found: {root} {where}.{found}\n"
        f"Looked for: {'; or '.join(layout.files for layout in info.layouts)}.\n"
        f"To get it: {info.access}\n"
        "If it is elsewhere, use paths.data=<folder of the datasets> (or set MFER_DATA), "
        "or dataset.root=<folder of the dataset>."
    )


def _hint(info: DatasetInfo, root: Path) -> str:
    """Describe what the folder, or one of its subfolders, looks like."""
    marked = _marked(root)
    if marked is not None and marked.title == info.title:
        return " It looks like an incomplete copy."
    for folder in (*([root] if marked else []), *inner_folders(root), root):
        known = looks_like(folder) or (info if folder != root and _has_classes_of(info, folder) else None)
        if known is not None:
            name = info.name if known.title == info.title else known.name
            return f" {folder} looks like {known.title}: use dataset={name} dataset.root={folder}."
    tables = [name for name in contents(root).others if Path(name).suffix.lower() in _OTHER_TABLES]
    return f" Not read: {some(tables, 3)}. If it contains the labels, save it as csv." if tables else ""


def _has_classes_of(info: DatasetInfo, folder: Path) -> bool:
    """Whether a folder contains train/ with subfolders that are all named after classes of a dataset."""
    try:
        train = next((name for name in contents(folder).folders if name.lower() in PARTITION_FOLDERS["train"]), None)
        classes = contents(folder / train).folders if train else []
    except UserError:
        return False
    first = 0 if info.first_number is None else info.first_number
    numbers = {str(first + k) for k in range(len(info.class_names))}
    return len(classes) > 1 and all(name in numbers or canonical(name) in info.class_names for name in classes)
