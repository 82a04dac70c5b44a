"""List the photos to align, and name their aligned faces."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from mfer_lightning.data.labels.image_files import IMAGE_SUFFIXES
from mfer_lightning.errors import UserError

#: Start of a URL: two or more letters, a colon and a slash; Windows drives have a single letter.
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


@dataclass(frozen=True)
class Photo:
    """A photo and the path of its aligned face.

    Args:
        source: file of the photo.
        name: its name in the report: the path relative to the source folder, with ``/``.
        target: path of the aligned face relative to the output folder, without suffix.
    """

    source: Path
    name: str
    target: str


def list_photos(source: str | Path, output: str | Path) -> list[Photo]:
    """List the photos of a file, a folder (recursively) or a pattern, and name the aligned faces.

    Faces are named as in the datasets, ``<photo>_aligned``, in the same subfolders as the photos. If two photos in a
    folder differ only in their suffix, the suffix is kept in the name.

    Args:
        source: file, folder or pattern.
        output: folder for the aligned faces; must not be the source itself.

    Returns:
        The photos, sorted by name.

    Raises:
        UserError: if the source is a URL, does not exist or contains no photos, or if the output folder is the source.
    """
    refuse_address(source)
    root = Path(source).expanduser()
    inside = Path(output).expanduser().resolve()
    if root.is_file():
        root, files = root.parent, [root]
    elif root.is_dir():
        if inside == root.resolve():
            raise UserError(f"output={output} is the folder of the photos themselves. Choose another folder.")
        files = [f for f in sorted(root.rglob("*")) if f.is_file() and f.suffix.lower() in IMAGE_SUFFIXES]
        files = [f for f in files if not is_side_file(f.relative_to(root))]
        files = [f for f in files if inside not in f.resolve().parents]  # the output folder may be inside the source
    elif is_pattern(source):
        root, files = expand_pattern(root)
        files = [f for f in files if f.is_file() and not is_side_file(f.relative_to(root))]
    else:
        raise UserError(f"source={source}: there is no such file or folder.")
    if not files:
        raise UserError(f"source={source} contains no photos ({', '.join(IMAGE_SUFFIXES)}).")
    names = [f.relative_to(root).as_posix() for f in files]
    stems = Counter(name.rpartition(".")[0] or name for name in names)
    photos = []
    for file, name in zip(files, names, strict=True):
        stem, _, suffix = name.rpartition(".")
        stem = stem or name
        target = f"{stem}_{suffix}_aligned" if stems[stem] > 1 else f"{stem}_aligned"
        photos.append(Photo(file, name, target))
    return photos


def is_side_file(path: Path) -> bool:
    """Whether a file is metadata that macOS adds to zip files and to disks with other file systems.

    Example:
        >>> is_side_file(Path("a/._b.png")), is_side_file(Path("__MACOSX/b.png")), is_side_file(Path("a/b.png"))
        (True, True, False)
    """
    return path.name.startswith("._") or "__MACOSX" in path.parts


def refuse_address(source: str | Path) -> None:
    """Reject a URL as a source.

    Raises:
        UserError: if it is a URL.
    """
    if _ADDRESS.match(str(source)) and not Path(source).exists():
        raise UserError(f"source={source} is a URL, but nothing is downloaded. Download it first and pass the file.")


def is_pattern(text: str | Path) -> bool:
    """Whether a path contains wildcards."""
    return any(c in str(text) for c in "*?[")


def expand_pattern(path: Path) -> tuple[Path, list[Path]]:
    """Expand a path with wildcards.

    Returns:
        The folder before the first wildcard, and the sorted matches in it.
    """
    first = next(i for i, part in enumerate(path.parts) if is_pattern(part))
    anchor = Path(*path.parts[:first])
    return anchor, sorted(anchor.glob(str(Path(*path.parts[first:]))))
