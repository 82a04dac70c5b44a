"""Find and align the faces in pictures as a model needs them, in one or several processes; no model is loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np

from mfer_lightning.align.aligner import CHOICES, AlignedFace
from mfer_lightning.align.stored_alignment import build_stored_aligner
from mfer_lightning.align.worker_pool import map_in_processes
from mfer_lightning.data.images.decode import resize
from mfer_lightning.errors import UserError, expect_choice
from mfer_lightning.inference.media.face_quality import judge_face
from mfer_lightning.inference.media.photos import Picture, Pixels, read_photo
from mfer_lightning.inference.media.turned_photos import align_turned

#: Messages for photos without a face.
TRY_TURNED = "rotate=true also tries the other orientations"
NOT_EVEN_TURNED = "in none of the four orientations"

#: Largest side of stored faces in pixels; a larger value in a model's file is rejected.
_LARGEST = 4096


@dataclass(frozen=True)
class Look:
    """How to look for faces in a picture.

    Args:
        aligned: the pictures are already aligned faces; no detector is built.
        faces: which faces of a picture to use, one of :data:`mfer_lightning.align.aligner.CHOICES`.
        detector: options of the detector that override the stored ones.
        rotate: rotate pictures without a face by 90, 180 and 270 degrees and detect again.
        second_look: detect again with a border and a lower threshold in photos where no face has been found; not in
            frames of a video.

    Raises:
        ValueError: for an unknown choice of faces, or a detector that is not a mapping of options.
    """

    aligned: bool = False
    faces: str = "all"
    detector: Mapping[str, Any] | None = None
    rotate: bool = False
    second_look: bool = True

    def __post_init__(self) -> None:
        expect_choice("faces", self.faces, CHOICES)
        if not isinstance(self.detector, (Mapping, NoneType)):
            raise ValueError(
                f"Expected argument `detector` to be a mapping like {{'min_score': 0.99}}, but got {self.detector!r}."
            )

    @property
    def key(self) -> str:
        """A string that is equal for equal settings."""
        return repr((self.aligned, self.faces, sorted((self.detector or {}).items()), self.rotate, self.second_look))


@dataclass
class Found:
    """A picture and the faces found in it.

    Args:
        picture: the source picture.
        faces: from left to right; None: the picture is itself a face.
        crops: the network's inputs, one per face.
        qualities: one of :data:`mfer_lightning.inference.media.face_quality.QUALITIES` per face.
    """

    picture: Picture
    faces: list[AlignedFace] | None
    crops: list[Pixels] = field(default_factory=list)
    qualities: list[str] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        """Number of bytes of all pixels, of the picture and of the crops."""
        own = 0 if self.picture.image is None else self.picture.image.nbytes
        return own + sum(crop.nbytes for crop in self.crops)


class Finder:
    """Finds the faces in pictures, and aligns them as the training faces were aligned.

    Args:
        alignment: as stored with a model (:func:`mfer_lightning.align.stored_alignment.describe_alignment`).
        look: how to look for faces.

    Raises:
        UserError: if the stored alignment is damaged or its detector is missing.
    """

    def __init__(self, alignment: Mapping[str, Any], look: Look | None = None) -> None:
        self.alignment = alignment
        self.look = look = look or Look()
        size = alignment.get("size")
        if size is not None and (isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= _LARGEST):
            raise UserError(
                f"The model file is damaged: it records a face size of {size!r} pixels. Export or download it again."
            )
        self.size = size
        self.aligner = (
            None if look.aligned else build_stored_aligner(alignment, faces=look.faces, detector=look.detector)
        )

    def __call__(self, picture: Picture) -> Found:
        """Find the faces in a picture; no faces if the picture could not be read."""
        if picture.image is None:
            return Found(picture, [])
        if self.aligner is None:
            return Found(picture, None, [self._stored(picture.image)], [judge_face(picture.image, None)])
        faces = self.aligner.align(picture.image)
        if not faces and self.look.rotate:
            faces, picture.rotated = align_turned(self.aligner, picture.image)
        if not faces and self.look.second_look and picture.frame is None:
            faces = self.aligner.align(picture.image, second_look=True)
        if not faces and picture.frame is None:
            picture.message = NOT_EVEN_TURNED if self.look.rotate else TRY_TURNED
        faces.sort(key=lambda face: face.detection.box[0])
        crops = [self._stored(face.image) for face in faces]
        return Found(picture, faces, crops, [judge_face(face.image, face.detection.box) for face in faces])

    def _stored(self, crop: Pixels) -> Pixels:
        """Resize a crop to the size that the training faces were stored at, in the same way."""
        return np.ascontiguousarray(crop) if self.size is None else resize(crop, self.size)


def find_in_files(
    paths: Sequence[Path], finder: Finder, *, most_pixels: int, workers: int, keep_image: bool
) -> Iterator[Found]:
    """Read photos and find their faces.

    Args:
        paths: the files.
        finder: face finder of this process; other processes build an equal one.
        most_pixels: larger photos are not decoded.
        workers: number of processes; with 0 or 1, only this process.
        keep_image: keep the pixels of the pictures.

    Returns:
        The photos in the order of the paths.

    Raises:
        UserError: if a process dies.
    """
    if workers <= 1:
        return (_read(path, finder, most_pixels, keep_image) for path in paths)
    whole = keep_image or finder.look.aligned  # whole photos of up to 192 MB each are returned, so one by one
    build = partial(_reader, dict(finder.alignment), finder.look, most_pixels, keep_image)
    return map_in_processes(build, paths, workers, chunk=1 if whole else 4, waiting=2 if whole else 4)


def _reader(alignment: Mapping[str, Any], look: Look, most_pixels: int, keep_image: bool) -> Callable[[Path], Found]:
    return partial(_read, finder=Finder(alignment, look), most_pixels=most_pixels, keep_image=keep_image)


def _read(path: Path, finder: Finder, most_pixels: int, keep_image: bool) -> Found:
    found = finder(read_photo(path, most_pixels))
    if not keep_image:
        found.picture.image = None
    return found
