"""One folder per class, as in torchvision's ImageFolder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mfer_lightning.data.labels.image_files import contents, listing, some
from mfer_lightning.emotions import EMOTIONS, canonical
from mfer_lightning.errors import UserError
from mfer_lightning.plurals import counted

#: Folder names of each partition, in any case.
PARTITION_FOLDERS: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}


@dataclass(frozen=True)
class ClassFolder:
    """The images of one class in one partition.

    Args:
        partition: train, val or test.
        path: the folder, relative to the dataset's root.
        class_name: class that the folder name means.
        images: file names of its images, sorted.
        left_out: suffixes of files that are not images, and ``"folder"`` for each subfolder.
    """

    partition: str
    path: str
    class_name: str
    images: tuple[str, ...]
    left_out: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of the folder: the class as spelled in this copy."""
        return self.path.rpartition("/")[2]

    def rows(self, class_names: Sequence[str]) -> Iterator[tuple[str, str, int]]:
        """Yield path, partition and label of each image, as required by :meth:`FaceIndex.from_rows`."""
        label = class_names.index(self.class_name)
        return ((f"{self.path}/{image}", self.partition, label) for image in self.images)


def find_partitions(root: Path, names: Mapping[str, Sequence[str]], why_one: str = "") -> dict[str, str]:
    """Return the folder of each partition that exists.

    Args:
        root: the dataset's folder.
        names: possible folder names of each partition, in lower case.
        why_one: a sentence for the error message on why two folders cannot both be used, followed by a space.

    Returns:
        Partition -> folder name as spelled on disk.

    Raises:
        UserError: if two folders match one partition.
    """
    folders, _ = listing(root)
    found: dict[str, str] = {}
    for partition, legal in names.items():
        mine = [folder for folder in folders if folder.lower() in legal]
        if len(mine) > 1:
            raise UserError(
                f"{root} contains {' and '.join(mine)}, and either could be the {partition} images. {why_one}"
                "Keep one of them, or list all images in a csv with the columns path,label,split and read it with "
                "dataset=folder dataset.table=<csv>."
            )
        if mine:
            found[partition] = mine[0]
    return found


def has_classes(root: Path, partitions: Mapping[str, str]) -> bool:
    """Whether any of the partition folders contains subfolders (rather than images)."""
    return any(listing(root / folder)[0] for folder in partitions.values())


def scan_class_folders(root: Path, partitions: Mapping[str, str], meaning: Callable[[str], str]) -> list[ClassFolder]:
    """List the class folders of partitions.

    Args:
        root: the dataset's folder.
        partitions: partition -> folder relative to ``root``, ``"."`` for the root itself.
        meaning: function from a folder (relative to ``root``) to its class.

    Returns:
        One entry per class folder, including empty ones, ordered by partition and name.

    Raises:
        UserError: if a class folder contains only subfolders, so it is probably not a class folder, or two folders of a
            partition mean the same class.
    """
    found: dict[tuple[str, str], ClassFolder] = {}
    for partition, folder in partitions.items():
        for name in listing(root / folder)[0]:
            path = name if folder == "." else f"{folder}/{name}"
            deeper, images, others = contents(root / path)
            if deeper and not images:
                raise _too_deep(root / path, deeper, in_part=folder != ".")
            class_name = meaning(path)
            left_out = (
                *(PurePosixPath(other).suffix.lower() or "no suffix" for other in others),
                *["folder"] * len(deeper),
            )
            mine = ClassFolder(partition, path, class_name, tuple(images), left_out)
            other = found.setdefault((partition, class_name), mine)
            if other.path != path:
                raise UserError(
                    f"{root}: the folders {other.path} and {path} both mean {class_name}. "
                    "Put their images into one folder, or rename one."
                )
    return list(found.values())


def _too_deep(folder: Path, deeper: Sequence[str], in_part: bool) -> UserError:
    """Return the error for a folder that was taken for a class folder but contains only subfolders."""
    start = f"{folder} was taken for a class folder, but contains no images, only subfolders: {some(deeper)}. "
    parts = {name for names in PARTITION_FOLDERS.values() for name in names}
    names = [name.lower() for name in deeper]
    if any(name in parts for name in names) or any(canonical(name) in EMOTIONS or name.isdecimal() for name in names):
        return UserError(f"{start}Use that folder: dataset.root={folder}.")
    if in_part or canonical(folder.name) in EMOTIONS:
        return UserError(
            f"{start}Images must be in the class folder itself: move those in {deeper[0]}/ and the others up into "
            f"{folder.name}/, or write a csv with the columns path,label."
        )
    return UserError(
        f"{start}Class folders must contain images. Set dataset.root to the folder that contains train/ or "
        "the class folders."
    )


def left_out(folders: Sequence[ClassFolder]) -> tuple[str, ...]:
    """Return a note on subfolders of class folders and on files that are not images; empty if there are none."""
    counts = Counter(what for folder in folders for what in folder.left_out)
    if not counts:
        return ()
    inner = counts.pop("folder", 0)
    others = counted(sum(counts.values()), "file that is not an image", "files that are not images")
    words = [f"{others} ({', '.join(sorted(counts))})"] if counts else []
    words += [counted(inner, "folder inside a class folder", "folders inside class folders")] if inner else []
    return (f"left out: {' and '.join(words)}",)


def class_of(path: str, root: Path, names: Sequence[str], first: int, title: str) -> str:
    """Return the class for a folder name: a class number of the dataset, or an emotion in any spelling.

    Args:
        path: the folder, relative to the dataset's root.
        root: the dataset's root, for the message.
        names: the canonical class names of the dataset, in the order of its numbers.
        first: number of the first class.
        title: usual name of the dataset.

    Raises:
        UserError: if the name is neither.
    """
    name = path.rpartition("/")[2]
    if name.isdecimal() and first <= int(name) < first + len(names):
        return names[int(name) - first]
    if canonical(name) in names:
        return canonical(name)
    raise UserError(
        f"{root / path}: {name!r} is not a class of {title}. Class folders are called "
        f"{first} to {first + len(names) - 1} or {', '.join(names)}. "
        "For your own classes, use dataset=folder."
    )
