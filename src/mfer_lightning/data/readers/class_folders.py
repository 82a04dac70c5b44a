"""Trees with a folder for each class, as torchvision's ImageFolder reads them: what readers of such copies share."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mfer_lightning.data.readers.common import IMAGE_SUFFIXES, some, unreadable
from mfer_lightning.emotions import canonical
from mfer_lightning.errors import UserError

#: The folder names under which each partition is found, in any case.
PARTITION_FOLDERS: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}


@dataclass(frozen=True)
class ClassFolder:
    """One folder of images.

    Args:
        partition: train, val or test.
        path: the folder, relative to the dataset's root.
        images: names of the images in it, sorted.
    """

    partition: str
    path: str
    images: tuple[str, ...]

    @property
    def name(self) -> str:
        """The folder's own name: the class, as the copy spells it."""
        return self.path.rpartition("/")[2]


def listing(folder: Path) -> tuple[list[str], list[str]]:
    """Return the names of the folders and of the images in a folder, sorted; what is hidden is left out.

    A folder that does not exist has neither.

    Raises:
        UserError: where the folder may not be read.
    """
    folders, images = [], []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name == "__MACOSX":
                    continue
                if entry.is_dir():
                    folders.append(entry.name)
                elif Path(entry.name).suffix.lower() in IMAGE_SUFFIXES:
                    images.append(entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return [], []
    except OSError as error:
        raise unreadable(folder, error) from error
    return sorted(folders), sorted(images)


def first_folder(root: Path, names: Sequence[str]) -> str | None:
    """Return the first of several folders, given relative to a folder, that is there.

    Raises:
        UserError: where a folder on the way may not be read.
    """
    for name in names:
        parent, _, folder = name.rpartition("/")
        if folder in listing(root / parent)[0]:
            return name
    return None


def find_partitions(root: Path, names: Mapping[str, Sequence[str]], why_one: str = "") -> dict[str, str]:
    """Return the folder of each partition that is there.

    Args:
        root: the dataset's folder.
        names: the folder names that each partition may have, in lower case.
        why_one: a sentence for the error, on why two folders cannot both be meant, with a space after it.

    Returns:
        partition -> folder name as it is spelled on disk.

    Raises:
        UserError: where two folders claim one partition.
    """
    folders, _ = listing(root)
    found: dict[str, str] = {}
    for partition, legal in names.items():
        mine = [folder for folder in folders if folder.lower() in legal]
        if len(mine) > 1:
            raise UserError(
                f"{root} holds {' and '.join(mine)}, and either could be the {partition} images. {why_one}"
                "Leave one of them, or read the tree as it is with dataset=folder."
            )
        if mine:
            found[partition] = mine[0]
    return found


def scan_class_folders(root: Path, partitions: Mapping[str, str]) -> list[ClassFolder]:
    """List the class folders of partitions.

    Args:
        root: the dataset's folder.
        partitions: partition -> folder relative to ``root``, ``"."`` for the root itself.

    Returns:
        One entry a class folder, the empty ones included, in the order of the partitions and then by name.

    Raises:
        UserError: where a class folder holds folders and no images, so that the classes must lie elsewhere.
    """
    found = []
    for partition, folder in partitions.items():
        for name in listing(root / folder)[0]:
            path = name if folder == "." else f"{folder}/{name}"
            deeper, images = listing(root / path)
            if deeper and not images:
                raise UserError(
                    f"{root / path} was taken for the folder of one class, but it holds no images and the folders "
                    f"{some(deeper)}. Class folders hold images: name the folder that holds train/, or the "
                    "class folders, with dataset.root=<folder>."
                )
            found.append(ClassFolder(partition, path, tuple(images)))
    return found


def has_classes(root: Path, partitions: Mapping[str, str]) -> bool:
    """Whether any of the partitions' folders holds folders (as against images straight away)."""
    return any(listing(root / folder)[0] for folder in partitions.values())


def class_of(folder: ClassFolder, root: Path, names: Sequence[str], first: int, dataset: str) -> str:
    """Return the class that a folder's name means: a number of the dataset's own, or an emotion in any spelling.

    Args:
        folder: the folder.
        root: the dataset's root, for the message.
        names: the dataset's canonical names in the order of its numbers.
        first: the number of the first.
        dataset: what people call it.

    Raises:
        UserError: where the name is none of them.
    """
    if folder.name.isdecimal() and first <= int(folder.name) < first + len(names):
        return names[int(folder.name) - first]
    if canonical(folder.name) in names:
        return canonical(folder.name)
    raise UserError(
        f"{root / folder.path}: {folder.name!r} is no class of {dataset}. Class folders are called "
        f"{first} to {first + len(names) - 1} or {', '.join(names)}. "
        "For classes of your own use dataset=folder."
    )


def check_one_folder_each(folders: Sequence[ClassFolder], classes: Sequence[str], root: Path) -> None:
    """Check that no two folders of a partition mean one class.

    Args:
        folders: the class folders.
        classes: what each means.
        root: the dataset's root, for the message.

    Raises:
        UserError: naming two such folders.
    """
    first: dict[tuple[str, str], str] = {}
    for folder, name in zip(folders, classes, strict=True):
        other = first.setdefault((folder.partition, name), folder.path)
        if other != folder.path:
            raise UserError(
                f"{root}: the folders {other} and {folder.path} both mean {name}. "
                "Nothing is merged silently: put their images into one folder, or rename one."
            )
