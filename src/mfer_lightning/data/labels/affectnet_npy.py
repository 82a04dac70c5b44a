"""The annotations of AffectNet's release of 2021: a small NumPy file for each image."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from mfer_lightning.data.labels.image_files import files_in, listing, some, unreadable
from mfer_lightning.data.labels.locate import check_images
from mfer_lightning.data.labels.numbers import whole_number
from mfer_lightning.errors import UserError

_SUFFIX = "_exp.npy"


def read_annotations(root: Path, folder: str, codes: int) -> Iterator[tuple[str, int]]:
    """Yield the image (relative to the root) and the code of each face of one part, by number.

    Args:
        root: the dataset's folder.
        folder: the part's, with ``images`` and ``annotations`` in it.
        codes: how many codes there are.

    Raises:
        UserError: where an image has no annotation or an annotation no image, or a file cannot be read or holds
            anything but one code.
    """
    images = {PurePosixPath(name).stem: name for name in listing(root / folder / "images")[1]}
    annotations = root / folder / "annotations"
    stems = sorted(
        (name.removesuffix(_SUFFIX) for name in files_in(annotations) if name.endswith(_SUFFIX)), key=_by_number
    )
    if not stems:
        raise UserError(
            f"{annotations} holds no annotation: looked for files such as 0{_SUFFIX}. Unpack the part anew, with "
            "images/ and annotations/ beside one another."
        )
    paths = [f"{folder}/images/{images.get(stem, f'{stem}.jpg')}" for stem in stems]
    check_images(root, paths, annotations)
    unlabelled = sorted(set(images) - set(stems), key=_by_number)
    if unlabelled:
        raise UserError(
            f"{len(unlabelled):,} of the {len(images):,} images in {root / folder / 'images'} have no annotation in "
            f"{annotations}: {some(unlabelled)}. Unpack the annotations anew, or remove these images."
        )
    # There are hundreds of thousands of these files and only a few different contents: each content is parsed once.
    known: dict[bytes, int] = {}
    for stem, path in zip(stems, paths, strict=True):
        file = annotations / f"{stem}{_SUFFIX}"
        try:
            content = file.read_bytes()
        except OSError as error:
            raise unreadable(file, error) from error
        if content not in known:
            known[content] = _parse(content, file, codes)
        yield path, known[content]


def _parse(content: bytes, file: Path, codes: int) -> int:
    try:
        value = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, OSError, EOFError, SyntaxError, OverflowError, MemoryError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{file} is no NumPy file with one code ({error}). It may be cut off: unpack the annotations anew."
        ) from error
    text = str(value.item()).strip() if isinstance(value, np.ndarray) and value.size == 1 else ""
    code = whole_number(text)
    if code is None or code < 0:
        raise UserError(f"{file}: expected one whole number, but got {str(value)[:60]!r}. Unpack the annotations anew.")
    if code >= codes:
        raise UserError(
            f"{file}: the label {text} is out of range. AffectNet's codes are 0 (neutral) to 7 (contempt), 8 none, "
            "9 uncertain and 10 no face. Unpack the annotations anew."
        )
    return code


def _by_number(stem: str) -> tuple[int, str]:
    """Order 2 before 10, and names that are no numbers after them."""
    return (int(stem), stem) if stem.isdecimal() else (1 << 62, stem)
