"""Compare a table with the class folders next to it, and let the user choose one of them if they disagree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from mfer_lightning.data.labels.image_files import listing, some
from mfer_lightning.data.labels.numbers import is_number, whole_number
from mfer_lightning.emotions import EMOTIONS, canonical
from mfer_lightning.errors import UserError
from mfer_lightning.plurals import counted


def emotion_folders(root: Path, partitions: Mapping[str, str]) -> list[str]:
    """Return the class folders that are named after emotions; empty if they cover fewer than two emotions."""
    found = [
        name if folder == "." else f"{folder}/{name}"
        for folder in partitions.values()
        for name in listing(root / folder)[0]
        if canonical(name) in EMOTIONS
    ]
    return found if len({canonical(path.rpartition("/")[2]) for path in found}) > 1 else []


def compare(
    root: Path,
    tables: Sequence[Path],
    paths: Sequence[str],
    labels: Sequence[str],
    meaning: Mapping[str, str],
    emotions: Sequence[str],
) -> list[str]:
    """Raise an error if the folder names and the tables next to them disagree.

    Args:
        root: the dataset's folder.
        tables: the tables in it.
        paths: paths of the images in the tables.
        labels: class of each image according to the tables.
        meaning: label as written -> class.
        emotions: result of :func:`emotion_folders`.

    Returns:
        A note if images in class folders are not in the tables; empty otherwise.

    Raises:
        UserError: if a table and a folder name give an image different classes, or most images in class folders are
            not in the tables.
    """
    names = ",".join(table.name for table in tables)
    numbers = {whole_number(label): name for label, name in meaning.items() if is_number(label)}
    parents = [path.rpartition("/")[0].rpartition("/")[2] for path in paths]
    if not _sorted_by_class(parents, labels):
        numbers = {}
    known = {name: name for name in (*EMOTIONS, *meaning.values())}
    says = {p: numbers.get(whole_number(p)) if is_number(p) else known.get(canonical(p)) for p in set(parents)}
    other = [i for i, parent in enumerate(parents) if says[parent] not in (None, labels[i])]
    named = names if len(tables) == 1 else f"[{names}]"
    decide = f"Use dataset.table={named} for the labels of the table, or dataset.table=none for those of the folders."
    if other:
        i = other[0]
        raise UserError(
            f"{root}: {names} and the folders disagree on {len(other):,} of {counted(len(paths), 'image')}: "
            f"{paths[i]} is {labels[i]} in the table, but in a folder for {says[parents[i]]}. {decide}"
        )
    listed = {path.casefold() for path in paths}
    images = [f"{folder}/{image}" for folder in emotions for image in listing(root / folder)[1]]
    unlisted = [image for image in images if image.casefold() not in listed]
    if 2 * len(unlisted) > len(images):
        raise UserError(
            f"{root}: {names} and the class folders disagree: the table lacks {len(unlisted):,} of the "
            f"{counted(len(images), 'image')} in {some(emotions, 3)}. {decide}"
        )
    here = counted(
        len(unlisted),
        f"image in a class folder is not in {names} and was",
        f"images in class folders are not in {names} and were",
    )
    return [f"{here} left out"] if unlisted else []


def _sorted_by_class(parents: Sequence[str], labels: Sequence[str]) -> bool:
    """Whether numbered folders are classes rather than shards: few, and most images in each have the same label."""
    pairs = Counter(pair for pair in zip(parents, labels, strict=True) if is_number(pair[0]))
    most: dict[str, int] = {}
    for (parent, _), count in pairs.items():
        most[parent] = max(count, most.get(parent, 0))
    return 1 < len(most) <= len(set(labels)) + 1 and sum(most.values()) > 0.8 * pairs.total()
