"""From a picture to the faces that a model is to see; without the model, and in several processes where asked."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mfer_lightning.align.aligner import CHOICES, AlignedFace, Aligner
from mfer_lightning.align.provenance import build_stored_aligner
from mfer_lightning.data.images.decode import resize
from mfer_lightning.errors import UserError
from mfer_lightning.inference.photos import Picture, Pixels, read_photo

#: Photos handed to a process at once, and such parcels on their way for each process; where whole photos come back
#: (of up to 192 MB each), one by one.
_PARCEL, _PARCELS = 4, 4
_WHOLE, _WHOLES = 1, 2
_LARGEST = 4096


@dataclass
class Found:
    """A picture and its faces on the way to the network.

    Args:
        picture: where they are from.
        faces: as the aligner gave them, from the left to the right; None: the picture is a face itself.
        crops: the pixels for the network, one a face.
    """

    picture: Picture
    faces: list[AlignedFace] | None
    crops: list[Pixels] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        """What its pixels take."""
        own = 0 if self.picture.image is None else self.picture.image.nbytes
        return own + sum(crop.nbytes for crop in self.crops)


class Finder:
    """Finds and aligns the faces of pictures as the training faces were.

    Args:
        alignment: as a model carries it (:func:`mfer_lightning.align.provenance.describe_alignment`).
        aligned: pictures are faces already; no detector is built.
        faces: which faces of a picture, of :data:`mfer_lightning.align.aligner.CHOICES`.
        detector: options of the detector that win over the stored ones.
        aligner: instead of the one that ``alignment`` describes.

    Raises:
        UserError: where the stored alignment is damaged or its detector is not here.
        ValueError: for an unknown choice of faces.
    """

    def __init__(
        self,
        alignment: Mapping[str, Any],
        *,
        aligned: bool = False,
        faces: str = "all",
        detector: Mapping[str, Any] | None = None,
        aligner: Aligner | None = None,
    ) -> None:
        if faces not in CHOICES:
            raise ValueError(f"Expected argument `faces` to be one of {CHOICES}, but got {faces!r}.")
        size = alignment.get("size")
        if size is not None and (isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= _LARGEST):
            raise UserError(f"The model says that its faces were stored at a size of {size!r} pixels: it is damaged.")
        self.size = size
        self.aligner = aligner
        if aligner is None and not aligned:
            self.aligner = build_stored_aligner(alignment, faces=faces, detector=detector)

    def __call__(self, picture: Picture) -> Found:
        """Find the faces of a picture; none where it could not be read."""
        if picture.image is None:
            return Found(picture, [])
        if self.aligner is None:
            return Found(picture, None, [self._stored(picture.image)])
        faces = sorted(self.aligner.align(picture.image), key=lambda face: face.detection.box[0])
        return Found(picture, faces, [self._stored(face.image) for face in faces])

    def _stored(self, crop: Pixels) -> Pixels:
        """Bring a crop to the size that the training faces were stored at, in the same way."""
        return np.ascontiguousarray(crop) if self.size is None else resize(crop, self.size)


def find_in_files(
    paths: Sequence[Path], finder: Finder, settings: Mapping[str, Any], *, workers: int, keep_image: bool
) -> Iterator[Found]:
    """Read photos and find their faces.

    Args:
        paths: the files.
        finder: of this process.
        settings: ``most_pixels``, and what the finders of other processes are built from (arguments of
            :class:`Finder`).
        workers: processes; 0 and 1: this one.
        keep_image: leave the pixels in the pictures.

    Yields:
        One photo after the other, in the order of the paths.

    Raises:
        UserError: where a process died.
    """
    if workers <= 1:
        for path in paths:
            yield _look(path, finder, settings["most_pixels"], keep_image)
        return
    context = multiprocessing.get_context("spawn")  # OpenCV's threads do not survive a fork
    size, most = (_WHOLE, _WHOLES) if keep_image or settings["aligned"] else (_PARCEL, _PARCELS)
    parcels = [paths[i : i + size] for i in range(0, len(paths), size)]
    try:
        with ProcessPoolExecutor(workers, context, initializer=_start, initargs=(dict(settings), keep_image)) as pool:
            on_the_way: deque[Future[list[Found]]] = deque()
            for parcel in parcels:
                on_the_way.append(pool.submit(_work, parcel))
                if len(on_the_way) >= most * workers:  # results are pixels: no more than these wait
                    yield from on_the_way.popleft().result()
            while on_the_way:
                yield from on_the_way.popleft().result()
    except BrokenProcessPool as error:
        raise UserError(
            "A worker process died (out of memory?). What is done is kept: the same command goes on; use fewer workers."
        ) from error


def _look(path: Path, finder: Finder, most_pixels: int, keep_image: bool) -> Found:
    found = finder(read_photo(path, most_pixels))
    if not keep_image:
        found.picture.image = None
    return found


_own: tuple[Finder, int, bool] | None = None  # of a worker process


def _start(settings: Mapping[str, Any], keep_image: bool) -> None:
    global _own
    cv2.setNumThreads(1)
    options = {key: value for key, value in settings.items() if key != "most_pixels"}
    _own = Finder(**options), settings["most_pixels"], keep_image


def _work(parcel: Sequence[Path]) -> list[Found]:
    assert _own is not None
    finder, most_pixels, keep_image = _own
    return [_look(path, finder, most_pixels, keep_image) for path in parcel]
