"""Annotations of AffectNet's 2021 release: small NumPy files for each image."""

from __future__ import annotations

import io
from collections.abc import Iterator
from math import nan
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.damaged_arrays import DAMAGE
from mfer_lightning.data.labels.affectnet_csv import known_affect
from mfer_lightning.data.labels.image_files import files_in, listing, some, unreadable
from mfer_lightning.data.labels.locate import check_images
from mfer_lightning.data.labels.numbers import whole_number
from mfer_lightning.errors import UserError
from mfer_lightning.plurals import counted

_SUFFIX = "_exp.npy"
#: Suffixes of the files of valence and arousal, which may be missing from a copy.
_AFFECT = ("_val.npy", "_aro.npy")


def read_annotations(root: Path, folder: str, codes: int) -> Iterator[tuple[str, int, tuple[float, ...]]]:
    """Read the annotations of one part.

    Yields:
        For each face, ordered by number: the path of the image relative to the root, the code, and (valence, arousal),
        which are NaN if the face was not rated or its file is missing.

    Args:
        root: the dataset's folder.
        folder: folder of the split, with ``images`` and ``annotations`` in it.
        codes: number of legal codes.

    Raises:
        UserError: if an image has no annotation or an annotation no image, or a file cannot be read or contains
            anything but one number.
    """
    images = {PurePosixPath(name).stem: name for name in listing(root / folder / "images")[1]}
    annotations = root / folder / "annotations"
    files = files_in(annotations)
    stems = sorted((name.removesuffix(_SUFFIX) for name in files if name.endswith(_SUFFIX)), key=_by_number)
    if not stems:
        raise UserError(
            f"{annotations} contains no annotations (files such as 0{_SUFFIX}). Unpack the part again, with "
            "images/ and annotations/ in the same folder."
        )
    paths = [f"{folder}/images/{images.get(stem, f'{stem}.jpg')}" for stem in stems]
    check_images(root, paths, annotations)
    unlabelled = sorted(set(images) - set(stems), key=_by_number)
    if unlabelled:
        raise UserError(
            f"{len(unlabelled):,} of the {counted(len(images), 'image')} in {root / folder / 'images'} "
            f"{'has' if len(unlabelled) == 1 else 'have'} no annotation in {annotations}: {some(unlabelled)}. "
            "Unpack the annotations again, or remove these images."
        )
    # There are hundreds of thousands of files with far fewer different contents, so each content is parsed only once.
    codes_of: dict[bytes, int] = {}
    affect_of: dict[bytes, float] = {}
    for stem, path in zip(stems, paths, strict=True):
        content = _read(annotations / f"{stem}{_SUFFIX}")
        if content not in codes_of:
            codes_of[content] = _code(content, annotations / f"{stem}{_SUFFIX}", codes)
        affect = []
        for name in (f"{stem}{suffix}" for suffix in _AFFECT):
            value = _read(annotations / name) if name in files else b""
            if value not in affect_of:
                affect_of[value] = _affect(value, annotations / name) if value or name in files else nan
            affect.append(affect_of[value])
        yield path, codes_of[content], tuple(affect)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise unreadable(file, error) from error


def _parse(content: bytes, file: Path, what: str) -> tuple[str, NDArray[Any]]:
    """Return the single value of a file as text, ``""`` if there is none, and the whole array."""
    try:
        value = np.load(io.BytesIO(content), allow_pickle=False)
        str(value)  # text with invalid code points cannot be read
    except DAMAGE as error:
        raise UserError(
            f"{file} is not a NumPy file with one {what} ({error}). It may be truncated: unpack the annotations again."
        ) from error
    return str(value.item()).strip() if isinstance(value, np.ndarray) and value.size == 1 else "", value


def _code(content: bytes, file: Path, codes: int) -> int:
    text, value = _parse(content, file, "code")
    code = whole_number(text)
    if code is None or code < 0:
        raise UserError(f"{file}: expected one whole number, but got {str(value)[:60]!r}. Unpack the files again.")
    if code >= codes:
        raise UserError(
            f"{file}: the label {text} is out of range. AffectNet's codes are 0 (neutral) to 7 (contempt), 8 none, "
            "9 uncertain and 10 no face. Unpack the annotations again."
        )
    return code


def _affect(content: bytes, file: Path) -> float:
    text, value = _parse(content, file, "number")
    try:
        return known_affect(float(text))
    except ValueError:
        raise UserError(f"{file}: expected one number, but got {str(value)[:60]!r}. Unpack the files again.") from None


def _by_number(stem: str) -> tuple[int, str]:
    """Order 2 before 10, and non-numeric names last."""
    return (int(stem), stem) if stem.isdecimal() else (1 << 62, stem)
