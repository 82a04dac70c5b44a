"""Render the result for one photo as HTML with embedded images."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import jinja2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mfer_lightning.demo.examine_photo import Examination

Pixels = NDArray[np.uint8]

#: Maximum side of the photo, and minimum side of aligned faces, in pixels.
PHOTO_SIDE, FACE_SIDE = 900, 160

#: Okabe and Ito's blue, visible with any type of colour vision.
ACCENT = "#0072B2"

CAVEAT = (
    "These probabilities describe how a face looks, as learned from labels that people gave to photos. They do not "
    "show what somebody feels. People express the same feeling differently, annotators disagree, and models perform "
    "worse on people and situations that are rare in their training photos. Do not base decisions about a person on "
    "these probabilities."
)


def card_page(found: Examination) -> str:
    """Render an examination: the photo with boxes around the faces, one card per face, and remarks.

    Args:
        found: the result of :func:`mfer_lightning.demo.examine_photo.examine`.

    Returns:
        An HTML fragment that includes its style sheet, without scripts or links.
    """
    environment = jinja2.Environment(loader=jinja2.PackageLoader("mfer_lightning.demo", ""), autoescape=True)
    environment.filters["data_url"] = _enlarged
    return environment.get_template("result.html.j2").render(
        css=Markup(Path(__file__).with_name("result.css").read_text(encoding="utf-8")),  # noqa: S704 - our own file
        photo=None if found.photo is None else _marked(found, found.photo),
        prediction=found.prediction,
        count=len(found.prediction.faces),
        faces=found.faces,
        notes=found.notes,
        caveat=CAVEAT,
    )


def _marked(found: Examination, photo: Pixels) -> str:
    """Shrink the photo, draw the boxes and numbers of the faces, and return it as a data URL."""
    image = Image.fromarray(photo)
    scale = min(1.0, PHOTO_SIDE / max(image.size))
    image = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
    draw = ImageDraw.Draw(image)
    for view in found.faces:
        if view.face.box is not None:
            x, y, w, h = (v * scale for v in view.face.box)
            draw.rectangle((x, y, x + w, y + h), outline=ACCENT, width=max(2, round(PHOTO_SIDE / 300)))
            draw.text((x + 4, y + 4), str(view.face.number + 1), fill="white", stroke_width=2, stroke_fill="black")
    return _data_url(image)


def _enlarged(pixels: Pixels) -> str:
    image = Image.fromarray(pixels)
    scale = FACE_SIDE / max(image.size)
    if scale > 1:  # enlarged here, since browsers blur small images
        image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
    return _data_url(image)


def _data_url(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
