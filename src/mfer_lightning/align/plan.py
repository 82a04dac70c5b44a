"""Which photos are to be aligned, and where each goes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from mfer_lightning.errors import UserError

#: What is taken for a photo in a folder.
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif")


@dataclass(frozen=True)
class Photo:
    """One photo and the place of its aligned face.

    Args:
        source: the file.
        name: what it is called in the report: its path below the source folder, with ``/``.
        target: path of the aligned face without the suffix, below the output folder.
    """

    source: Path
    name: str
    target: str


def plan(source: str | Path, output: str | Path) -> list[Photo]:
    """List the photos of a file, a folder (with all below it) or a pattern, and name the aligned faces.

    Faces are called as the datasets call them, ``<photo>_aligned``, in the same folders as the photos. Two photos of a
    folder that differ in the suffix alone keep it in the name.

    Args:
        source: the photos.
        output: folder of the aligned faces; not the source itself.

    Returns:
        The photos in order of their names.

    Raises:
        UserError: where there are none, or the output would lie among them.
    """
    path = Path(source).expanduser()
    folder = Path(output).expanduser()
    if path.is_file():
        root, files = path.parent, [path]
    elif path.is_dir():
        if folder.resolve() == path.resolve():
            raise UserError(f"output={output} is the folder of the photos themselves: choose another one.")
        root = path
        inside = folder.resolve()
        files = [f for f in sorted(path.rglob("*")) if f.is_file() and f.suffix.lower() in SUFFIXES]
        files = [f for f in files if inside not in f.resolve().parents]  # an output folder within the source
    elif any(c in str(source) for c in "*?["):
        anchor = Path(*path.parts[: _first_pattern(path)])
        root = anchor
        files = sorted(f for f in anchor.glob(str(Path(*path.parts[_first_pattern(path) :]))) if f.is_file())
    else:
        raise UserError(f"source={source}: there is no such file or folder.")
    if not files:
        raise UserError(f"source={source} holds no photos ({', '.join(SUFFIXES)}).")
    names = [f.relative_to(root).as_posix() for f in files]
    stems = Counter(name.rpartition(".")[0] or name for name in names)
    photos = []
    for file, name in zip(files, names, strict=True):
        stem, _, suffix = name.rpartition(".")
        stem = stem or name
        target = f"{stem}_{suffix}_aligned" if stems[stem] > 1 else f"{stem}_aligned"
        photos.append(Photo(file, name, target))
    return photos


def _first_pattern(path: Path) -> int:
    return next(i for i, part in enumerate(path.parts) if any(c in part for c in "*?["))
