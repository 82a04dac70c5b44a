"""Run a model on one photo and collect everything that the page shows. Independent of the web framework."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.inference.media.face_quality import BLURRED
from mfer_lightning.inference.media.face_quality import SMALL as TOO_SMALL
from mfer_lightning.inference.media.photos import MOST_PIXELS, read_photo
from mfer_lightning.inference.predictor import Predictor
from mfer_lightning.inference.results import Face, Prediction

Pixels = NDArray[np.uint8]

#: Function from aligned faces (B,H,W,3) and their classes to maps (B,H,W) within [0, 1], which are large in the regions
#: that support these classes.
Explain = Callable[[Pixels, Sequence[int]], NDArray[np.float32]]

#: Maximum number of faces to show; further faces are only counted.
MOST_FACES = 12

#: Side of the box in pixels below which a face counts as small.
SMALL = 40

#: Residual of the alignment (a fraction of the crop's height) above which the head counts as turned.
TURNED = 0.08

#: A prediction is doubtful if its probability exceeds the second highest by less than CLOSE or, for a model without a
#: threshold, is below UNSURE.
UNSURE, CLOSE = 0.5, 0.15


@dataclass(frozen=True)
class FaceView:
    """One face on the page.

    Args:
        face: the prediction, with the model's input.
        overlay: (H,W,3) uint8 RGB, the input overlaid with the Grad-CAM map; None without a map.
        doubts: reasons why this prediction may be wrong, in sentences.
    """

    face: Face
    overlay: Pixels | None
    doubts: tuple[str, ...]


@dataclass(frozen=True)
class Examination:
    """A photo on the page.

    Args:
        photo: (H,W,3) uint8 RGB, upright; None if it could not be read.
        prediction: the faces of the photo, or the reason why there are none.
        faces: the faces to show, from left to right.
        notes: remarks that apply to all faces.
    """

    photo: Pixels | None
    prediction: Prediction
    faces: tuple[FaceView, ...]
    notes: tuple[str, ...]


def examine(
    model: Predictor,
    photo: str | Path,
    *,
    aligned: bool = False,
    explain: Explain | None = None,
    max_pixels: int = MOST_PIXELS,
) -> Examination:
    """Find, align and classify the faces of one photo.

    Args:
        model: a model from :func:`mfer_lightning.load_model`.
        photo: the file.
        aligned: whether the photo is a single face, aligned as in training.
        explain: function that computes the maps; None: no overlays.
        max_pixels: maximum number of pixels of a photo; larger ones are rejected.

    Returns:
        The content of the page; for a file that cannot be read, its ``prediction`` contains the reason.
    """
    picture = read_photo(Path(photo), max_pixels)
    seen = picture.image  # kept here, because the model releases it
    ((_, prediction, _),) = model.stream([picture], aligned=aligned, keep_aligned=True)
    shown = prediction.faces[:MOST_FACES]
    overlays = _overlays(model, shown, explain)
    notes = () if aligned else model.notes
    if len(prediction.faces) > len(shown):
        notes = (*notes, f"{len(prediction.faces)} faces were found; the first {len(shown)} from the left are shown.")
    views = tuple(FaceView(face, over, doubts(face)) for face, over in zip(shown, overlays, strict=True))
    return Examination(seen, prediction, views, notes)


def _overlays(model: Predictor, faces: Sequence[Face], explain: Explain | None) -> list[Pixels | None]:
    if explain is None or not faces:
        return [None] * len(faces)
    crops = np.stack([face.aligned for face in faces if face.aligned is not None])
    maps = explain(crops, [model.class_names.index(face.label) for face in faces])
    return [overlay(crop, found) for crop, found in zip(crops, maps, strict=True)]


def overlay(face: Pixels, heat: NDArray[np.float32]) -> Pixels:
    """Overlay a map on a face; the larger the value of the map, the stronger the colour.

    Args:
        face: (H,W,3) RGB.
        heat: (H,W) within [0, 1].

    Returns:
        (H,W,3) uint8 RGB; where the map is 0, the face is unchanged.

    Example:
        >>> grey = np.full((2, 2, 3), 100, dtype=np.uint8)
        >>> bool((overlay(grey, np.zeros((2, 2), dtype=np.float32)) == grey).all())
        True
    """
    import cv2

    levels = (heat.clip(0, 1) * 255).astype(np.uint8)
    colour = cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)[:, :, ::-1].astype(np.float32)
    share = 0.75 * heat.clip(0, 1)[:, :, None]
    return np.asarray((face * (1 - share) + colour * share).round(), dtype=np.uint8)


def doubts(face: Face) -> tuple[str, ...]:
    """Return reasons why the prediction for a face may be wrong.

    Example:
        >>> doubts(Face(0, {"fear": 0.45, "surprise": 0.4, "neutral": 0.15}))
        ('The model is undecided between fear (45%) and surprise (40%).',)
        >>> doubts(Face(0, {"fear": 0.9, "surprise": 0.1}))
        ()
    """
    said = []
    (first, share), *others = face.top(2)
    if face.uncertain:
        said.append(f"Uncertain: below {face.threshold:.0%}, predictions of this model are wrong too often.")
    if others and share - others[0][1] < CLOSE:
        said.append(f"The model is undecided between {first} ({share:.0%}) and {others[0][0]} ({others[0][1]:.0%}).")
    elif face.threshold is None and share < UNSURE:
        said.append(f"The model is unsure: no emotion reaches {UNSURE:.0%}.")
    if face.box is not None and min(face.box[2:]) < SMALL:
        said.append(f"The face is small ({face.box[2]:.0f}x{face.box[3]:.0f} pixels).")
    elif face.quality == TOO_SMALL:
        said.append("The face has too few pixels.")
    elif face.quality == BLURRED:
        said.append("The face is blurred.")
    if face.residual is not None and face.residual > TURNED:
        said.append("The head is turned or tilted, and such faces are usually rare in training data.")
    if face.confidence is not None and face.confidence < 0.9:
        said.append(f"The detector is not sure that this is a face ({face.confidence:.0%}).")
    return tuple(said)
