"""Describe the alignment of a training set's faces, and build the same aligner for new photos.

The description consists of plain values and is stored with the model. Its ``origin`` is one of:

- ``"alignment.json"``: the faces were aligned by ``mfer align``, and its settings were found next to the faces;
- ``"approximation"``: the dataset provides cropped faces, and the template that it declares is close to them;
- ``"assumed"``: nothing is known, and the default alignment of this package is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mfer_lightning.align.aligner import Aligner
from mfer_lightning.align.detectors import build_detector
from mfer_lightning.align.templates import get_template
from mfer_lightning.errors import UserError

FILE, APPROXIMATION, ASSUMED = "alignment.json", "approximation", "assumed"

#: Refinement steps if the template is only approximate; see :mod:`mfer_lightning.align.refine_landmarks`.
_REFINE = 1
#: Maximum height of crops in pixels that a stored alignment may request.
_LARGEST = 1024


def describe_alignment(
    stored: Mapping[str, Any] | None, dataset: str, size: int | None, template: str | None = None
) -> dict[str, Any]:
    """Describe how the faces of a dataset were aligned.

    Args:
        stored: content of the ``alignment.json`` next to the faces, or None.
        dataset: its name, e.g. ``"ferplus"``.
        size: side in pixels of the stored faces before preprocessing; None: original size.
        template: the template that the dataset declares as closest to its own crops, or None.

    Returns:
        ``origin``, ``note`` (a sentence if the alignment is not exactly that of the faces, else empty), ``size``, and
        the settings of an aligner: ``template``, ``height``, ``margin``, ``border``, ``refine``, ``detector``.

    Raises:
        UserError: if ``template`` does not exist.

    Example:
        >>> describe_alignment(None, "ferplus", 48, "ferplus-48")["origin"]
        'approximation'
    """
    if stored is not None:
        detector = stored.get("detector", "mtcnn")
        return {
            "origin": FILE,
            "note": "",
            "size": size,
            "template": str(stored["template"]),
            "height": int(stored["height"]),
            "margin": float(stored.get("margin", 0.0)),
            "border": str(stored.get("border", "black")),
            "refine": int(stored.get("refine", 2)),
            "detector": dict(detector) if isinstance(detector, Mapping) else {"name": str(detector)},
        }
    known = template is not None
    nearest = get_template(template or "face-evolve-112")
    note = (
        f"the faces of {dataset} have their own alignment; the template {nearest.name} is close to it"
        if known
        else f"the alignment of the faces of {dataset or 'the training set'} is not recorded; the template "
        f"{nearest.name} is assumed (mfer align records the alignment)"
    )
    return {
        "origin": APPROXIMATION if known else ASSUMED,
        "note": f"approximation: {note}",
        "size": size,
        "template": nearest.identity,
        "height": size or nearest.height,
        "margin": 0.0,
        "border": "edge" if known else "black",
        "refine": _REFINE if known else 2,
        "detector": {"name": "mtcnn"},
    }


def build_stored_aligner(
    alignment: Mapping[str, Any], *, faces: str = "all", detector: Mapping[str, Any] | None = None
) -> Aligner:
    """Build the aligner described by :func:`describe_alignment`.

    Args:
        alignment: the description stored in a checkpoint.
        faces: which faces of a photo to use, one of :data:`mfer_lightning.align.aligner.CHOICES`.
        detector: detector options that override the stored ones; if ``name`` differs, the stored ones are discarded.

    Raises:
        UserError: if the description is damaged or its detector is not installed.
    """
    try:
        height = int(alignment["height"])
        if not 8 <= height <= _LARGEST:
            raise ValueError(f"its crops are {height} pixels high, but must be 8 to {_LARGEST} pixels high")
        chosen = dict(detector or {})
        own = dict(alignment["detector"])
        options = {**own, **chosen} if chosen.get("name", own.get("name")) == own.get("name") else chosen
        name = str(options.pop("name"))
        return Aligner(
            build_detector(name, **options),
            template=str(alignment["template"]),
            size=height,
            margin=float(alignment["margin"]),
            border=str(alignment["border"]),
            refine=int(alignment["refine"]),
            faces=faces,
            detector_name=name,
        )
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"The alignment stored with the model cannot be used: {error}.") from error
