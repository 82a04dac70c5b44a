"""The datasets that are known: those of this package, and those of any package that was imported.

A datamodule with a class attribute ``info`` registers its declaration when its class is created
(:class:`~mfer_lightning.data.datasets.base.FaceDataModule`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mfer_lightning.data.datasets.declaration import DatasetInfo
from mfer_lightning.data.labels.image_files import some, unreadable
from mfer_lightning.data.protocols import Protocol
from mfer_lightning.errors import UserError, nearest

#: Name -> declaration, and the class that made it.
_DATASETS: dict[str, tuple[DatasetInfo, str]] = {}


def register(info: DatasetInfo, declared_by: str) -> None:
    """Make a dataset known.

    Args:
        info: its declaration.
        declared_by: dotted name of the class; the same class may declare its dataset again.

    Raises:
        UserError: where another class has declared a dataset of this name.
    """
    other = _DATASETS.get(info.name, (info, declared_by))[1]
    if other != declared_by:
        raise UserError(f"The dataset {info.name!r} is declared by {other} and by {declared_by}: rename one of them.")
    _DATASETS[info.name] = info, declared_by


def known_datasets() -> tuple[str, ...]:
    """Return the names of all datasets."""
    return tuple(_DATASETS)


def find_dataset(name: str | None) -> DatasetInfo | None:
    """Return the declaration of a dataset, None where it is not known."""
    return _DATASETS[name][0] if name in _DATASETS else None


def dataset_info(name: str) -> DatasetInfo:
    """Return the declaration of a dataset.

    Args:
        name: e.g. ``"ferplus"``.

    Raises:
        UserError: where it is not known, with the nearest names.

    Example:
        >>> dataset_info("ferplus").class_names[:3]
        ('neutral', 'happiness', 'surprise')
    """
    info = find_dataset(name)
    if info is None:
        raise UserError(f"There is no dataset called {name!r}: {nearest(name, known_datasets())}")
    return info


def find_protocol(name: str | None) -> Protocol | None:
    """Return the protocol called ``dataset@protocol``, None where it is not known."""
    info = find_dataset(str(name).partition("@")[0])
    return None if info is None else next((p for p in info.protocols if p.name == name), None)


def get_protocol(dataset: str, name: str | None = None) -> Protocol:
    """Look a protocol up.

    Args:
        dataset: e.g. ``"ferplus"``.
        name: e.g. ``"majority"`` (or ``"ferplus@majority"``); None: the dataset's default.

    Raises:
        UserError: where there is none, with the legal names.

    Example:
        >>> get_protocol("ferplus").name, get_protocol("rafdb", "paper").marked
        ('ferplus@majority', True)
    """
    protocols = {protocol.short_name: protocol for protocol in dataset_info(dataset).protocols}
    short = next(iter(protocols)) if name is None else name.removeprefix(f"{dataset}@")
    if short not in protocols:
        raise UserError(
            f"dataset.protocol={name} is not a protocol of {dataset}: {nearest(short, protocols)} "
            f"(all of them: {', '.join(protocols)})"
        )
    return protocols[short]


def looks_like(folder: Path) -> DatasetInfo | None:
    """Return the dataset whose files or folders lie in a folder, None where it looks like none."""
    try:
        entries = {entry.name for entry in folder.iterdir()}
    except OSError:
        return None  # only a hint: the reader reports unreadable folders
    return next((info for info, _ in _DATASETS.values() if entries.intersection(info.marks)), None)


def missing_dataset(info: DatasetInfo, root: Path) -> UserError:
    """Return the error for a dataset that is not where it was looked for.

    Args:
        info: its declaration.
        root: the folder that was searched.
    """
    root = root.absolute()
    where = "does not exist" if not root.exists() else "is not a folder" if not root.is_dir() else "holds none of them"
    found = ""
    if root.is_dir():
        try:
            names = sorted(entry.name for entry in root.iterdir())
        except OSError as error:
            raise unreadable(root, error) from error
        found = f" It holds: {some(names, 6) or 'nothing'}.{_hint(info, root, names)}"
    return UserError(
        f"{info.title} was not found: {root} {where}.{found}\n"
        f"Looked for: {'; or '.join(layout.files for layout in info.layouts)}.\n"
        f"To get it: {info.access}\n"
        "If it lies elsewhere, say paths.data=<folder that holds the datasets> (or set MFER_DATA), "
        "or dataset.root=<the dataset's own folder>."
    )


def _hint(info: DatasetInfo, root: Path, entries: Sequence[str]) -> str:
    """Say what the folder, or one in it, looks like."""
    for folder in (root, *(root / entry for entry in entries[:20])):
        known = looks_like(folder)
        if known is not None and folder == root and known.title == info.title:
            return " It looks like an incomplete copy."
        if known is not None:
            return f" {folder} looks like {known.title}: say dataset={known.name} dataset.root={folder}."
    return ""
