"""Find the image files in a list, with exact or similar names; report similar files if images are missing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from mfer_lightning.data.labels.image_files import contents, is_image, listing, missing_images, some
from mfer_lightning.errors import UserError
from mfer_lightning.plurals import counted

#: Maximum number of missing images for which to look for similar names.
_TRIED = 20


def locate_images(
    root: Path, paths: Sequence[str], listed_in: Path, search: bool = False
) -> tuple[list[str], tuple[str, ...]]:
    """Find the file of each image in a list.

    If there is no file with the exact name, a file in the same folder is used whose name, or name without suffix,
    differs at most in case, provided that it is unique.

    Args:
        root: folder that the paths are relative to.
        paths: paths as in the list, with ``/``.
        listed_in: the list, for messages.
        search: search all subfolders of the root if the missing names have no folder.

    Returns:
        The paths as on disk, in order, and notes for the user.

    Raises:
        UserError: if images are missing, or a name without a folder matches several files.
    """
    absent = missing_images(root, dict.fromkeys(paths))
    if not absent:
        return list(paths), ()
    taken = set(paths)
    found = _other_case(root, absent, taken)
    notes = []
    if found:
        first = next(iter(found))
        notes.append(
            counted(
                len(found),
                f"image name in {listed_in.name} is spelled differently from its file or lacks the suffix",
                f"image names in {listed_in.name} are spelled differently from their files or lack the suffix",
            )
            + f" ({first} is {found[first]}): the files were used"
        )
    rest = [path for path in absent if path not in found]
    if search and rest and not any("/" in path for path in rest):
        below = _below(root, rest)
        elsewhere = {path: below[path][0] for path in rest if len(below[path]) == 1}
        several = next((path for path in rest if len(below[path]) > 1), None)
        if several:
            raise UserError(
                f"{listed_in} lists {several}, but {root} contains several such files: {some(below[several], 3)}. "
                "Add the folder to the name in the list."
            )
        if len(elsewhere) == len(rest):
            found |= elsewhere
            words = counted(len(rest), f"image in {listed_in.name} was", f"images in {listed_in.name} were")
            notes.append(f"{words} found in folders that it does not name")
            rest = []
    if rest:
        raise _missing(root, rest, len(paths), listed_in)
    return [found.get(path, path) for path in paths], tuple(notes)


def check_images(root: Path, paths: Sequence[str], listed_in: Path) -> None:
    """Check that all images in a list exist with exactly these names.

    Raises:
        UserError: as in :func:`locate_images`.
    """
    absent = missing_images(root, paths)
    if absent:
        raise _missing(root, absent, len(paths), listed_in)


def _other_case(root: Path, absent: Iterable[str], taken: set[str]) -> dict[str, str]:
    """Return path -> file for paths with a unique file in their folder that differs only in case or has a suffix."""
    images: dict[str, dict[str, list[str]]] = {}
    found = {}
    for path in absent:
        folder, slash, name = path.rpartition("/")
        if folder not in images:
            images[folder] = {}
            for image in listing(root / folder)[1]:
                for key in (image.casefold(), image.rpartition(".")[0].casefold()):
                    images[folder].setdefault(key, []).append(f"{folder}{slash}{image}")
        there = images[folder].get(name.casefold(), [])
        if len(there) == 1 and there[0] not in taken:
            found[path] = there[0]
            taken.add(there[0])
    return found


def _below(root: Path, names: Iterable[str]) -> dict[str, list[str]]:
    """Return name -> files with that name in any subfolder."""
    below: dict[str, list[str]] = {name: [] for name in names}
    for parent, folders, files in os.walk(root):
        folders[:] = sorted(folder for folder in folders if folder[0] != "." and folder != "__MACOSX")
        for name in below.keys() & set(files):
            below[name].append((Path(parent) / name).relative_to(root).as_posix())
    return below


def _missing(root: Path, absent: Sequence[str], count: int, listed_in: Path) -> UserError:
    near = next(((path, there) for path in absent[:_TRIED] if (there := _near(root, path))), None)
    way_out = "Unpack the images again, or remove their labels."
    if near:
        way_out = f"{near[0]} resembles {near[1]}: correct the names in the list, or move or rename the images."
    return UserError(
        f"{len(absent):,} of the {counted(count, 'image')} listed in {listed_in} "
        f"{'is' if len(absent) == 1 else 'are'} missing under {root}: {some(absent)}. {way_out}"
    )


def _near(root: Path, path: str) -> str | None:
    """Return an existing image that a path may refer to: with another suffix, or with more or fewer folders."""
    folder, slash, name = path.rpartition("/")
    stem = name.rpartition(".")[0] if is_image(name) else name
    for image in listing(root / folder)[1]:
        if image.rpartition(".")[0].casefold() == stem.casefold():
            return f"{folder}{slash}{image}"
    parts = path.split("/")
    doubled = [f"{deeper}/{path}" for deeper in contents(root).folders]
    doubled += [f"{folder}/{deeper}/{name}" for deeper in contents(root / folder).folders if folder]
    fewer = ["/".join(parts[i:]) for i in range(1, len(parts))]
    return next((other for other in (*doubled, *fewer) if (root / other).is_file()), None)
