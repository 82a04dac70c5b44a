"""Describe how the faces of a training set were aligned, and build the same aligner for new photos.

The description is plain values that are stored with the model. It has one of three kinds of ``origin``:

- ``"alignment.json"``: ``mfer align`` made the faces, and its settings were found beside them;
- ``"approximation"``: the dataset brings faces aligned in its own way, and a template named after it is close;
- ``"assumed"``: nothing is known, and the project's own alignment is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mfer_lightning.align.aligner import Aligner
from mfer_lightning.align.detectors import build_detector
from mfer_lightning.align.templates import get_template
from mfer_lightning.errors import UserError

FILE, APPROXIMATION, ASSUMED = "alignment.json", "approximation", "assumed"

#: Refinement steps where the template is approximate anyway; see :mod:`mfer_lightning.align.refine_landmarks`.
_REFINE = 1
#: Largest height of crops in pixels, whatever a file says.
_LARGEST = 1024


def describe_alignment(
    stored: Mapping[str, Any] | None, dataset: str, size: int | None, template: str | None = None
) -> dict[str, Any]:
    """Describe how the faces of a dataset were aligned.

    Args:
        stored: the content of the ``alignment.json`` beside the faces, or None.
        dataset: its name, e.g. ``"ferplus"``.
        size: side in pixels that its faces are stored at before preprocessing; None: as they are.
        template: the template that the dataset declares as nearest to its own crops, or None.

    Returns:
        ``origin``, ``note`` (a sentence where the alignment is not exactly the faces' own, else empty), ``size``, and
        the arguments of an aligner: ``template``, ``height``, ``margin``, ``border``, ``refine``, ``detector``.

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
        f"the faces of {dataset} come aligned in a way of their own; the template {nearest.name} is near"
        if known
        else f"nothing says how the faces of {dataset or 'the training set'} were aligned; the template "
        f"{nearest.name} is assumed (train on faces made by mfer align, and it is known)"
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
    """Build the aligner that :func:`describe_alignment` described.

    Args:
        alignment: as a checkpoint carries it.
        faces: which faces of a photo, of :data:`mfer_lightning.align.aligner.CHOICES`.
        detector: options of the detector that win over the stored ones; another ``name`` drops the stored ones.

    Raises:
        UserError: if the description is damaged or its detector is missing here.
    """
    try:
        height = int(alignment["height"])
        if not 8 <= height <= _LARGEST:
            raise ValueError(f"its crops are {height} pixels high, and 8 to {_LARGEST} are possible")
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
        raise UserError(f"The alignment that the model carries cannot be used: {error}.") from error
