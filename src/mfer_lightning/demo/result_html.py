"""Render the result for one photo as HTML, with embedded images: no image file is ever written."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mfer_lightning.demo.examine_photo import Examination, FaceView
from mfer_lightning.inference.results import NO_FACE, OK

Pixels = NDArray[np.uint8]

#: Largest side of the photo, and side of aligned faces, in pixels.
PHOTO_SIDE, FACE_SIDE = 900, 160

#: Okabe and Ito's blue, visible with any colour vision.
ACCENT = "#0072B2"

CAVEAT = (
    "These are shares that the model gives to the way a face looks, learned from labels that people gave to photos. "
    "They do not say what somebody feels. People show the same feeling differently, annotators disagree, and models "
    "do worse on people and situations that their training photos lacked. Decide nothing about a person by them."
)

STYLE = f"<style>{(Path(__file__).parent / 'result.css').read_text(encoding='utf-8')}</style>"


def card_page(found: Examination) -> str:
    """Render an examination: the photo with its faces marked, a card a face, and remarks.

    Args:
        found: of :func:`mfer_lightning.demo.examine_photo.examine`.

    Returns:
        One HTML fragment with its own style, without scripts and links.
    """
    parts = [STYLE, "<div class='mfer'>"]
    if found.photo is not None:
        parts.append(_photo(found))
    if found.prediction.status == NO_FACE:
        parts.append(
            "<p class='problem' role='status'>No face was found. A face should be upright and not too small.</p>"
        )
    elif found.prediction.status != OK:
        reason = escape(found.prediction.message or found.prediction.status)
        parts.append(f"<p class='problem' role='status'>This file cannot be shown: {reason}.</p>")
    cards = "".join(_card(view) for view in found.faces)
    parts.append(f"<div class='faces'>{cards}</div>")
    parts += [f"<p class='note'>{escape(note)}</p>" for note in found.notes]
    if found.faces:
        parts.append(f"<p class='note'>{escape(CAVEAT)}</p>")
    return "".join([*parts, "</div>"])


def _photo(found: Examination) -> str:
    assert found.photo is not None
    image = Image.fromarray(found.photo)
    scale = min(1.0, PHOTO_SIDE / max(image.size))
    image = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
    marked = any(view.face.box is not None for view in found.faces)
    if marked:
        draw = ImageDraw.Draw(image)
        for view in found.faces:
            if view.face.box is not None:
                x, y, w, h = (v * scale for v in view.face.box)
                draw.rectangle((x, y, x + w, y + h), outline=ACCENT, width=max(2, round(PHOTO_SIDE / 300)))
                draw.text((x + 4, y + 4), str(view.face.number + 1), fill="white", stroke_width=2, stroke_fill="black")
    count = len(found.prediction.faces)
    words = f"{found.prediction.width} x {found.prediction.height} pixels, {count} face{'' if count == 1 else 's'}"
    return f"<figure class='photo'>{_image(image, 'The photo')}<figcaption>{words}</figcaption></figure>"


def _card(view: FaceView) -> str:
    face = view.face
    number = face.number + 1
    pair = ""
    if face.aligned is not None:
        pair += _shown(face.aligned, f"Face {number} as the model saw it", "as the model saw it")
    if view.overlay is not None:
        words = f"what speaks for {face.label}"
        pair += _shown(view.overlay, f"Face {number}: {words} (Grad-CAM)", f"{words} (Grad-CAM)")
    doubt = "".join(f"<p class='doubt'>{escape(sentence)}</p>" for sentence in view.doubts)
    title = f"Face {number}: {escape(face.label)}, {face.probability:.0%}"
    return (
        f"<section class='card' aria-label='Face {number}'><h3>{title}</h3>"
        f"<div class='pair'>{pair}</div>{_bars(face.shown)}{doubt}</section>"
    )


def _bars(shares: Mapping[str, float]) -> str:
    rows = [
        f"<span>{escape(name)}</span><span class='bar' aria-hidden='true'>"
        f"<span style='width:{100 * share:.1f}%'></span></span><span class='share'>{100 * share:.1f}%</span>"
        for name, share in sorted(shares.items(), key=lambda item: -item[1])
    ]
    return f"<div class='bars'>{''.join(rows)}</div>"


def _shown(pixels: Pixels, alt: str, caption: str) -> str:
    image = Image.fromarray(pixels)
    scale = FACE_SIDE / max(image.size)
    if scale > 1:  # enlarged here, since browsers blur small images
        image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
    return f"<figure>{_image(image, alt)}<figcaption>{escape(caption)}</figcaption></figure>"


def _image(image: Image.Image, alt: str) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=90)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f"<img alt='{escape(alt, quote=True)}' src='data:image/jpeg;base64,{data}'>"
