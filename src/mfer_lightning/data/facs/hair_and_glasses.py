"""Draw hair, headgear, beards and glasses."""

from __future__ import annotations

import numpy as np

from mfer_lightning.data.facs.average_face import FloatArray
from mfer_lightning.data.facs.canvas import Canvas
from mfer_lightning.data.facs.identity import Identity, mix, scaled
from mfer_lightning.data.facs.random_stream import Stream

_CLOTH = ("beanie", "headscarf")


def draw_back_hair(canvas: Canvas, person: Identity) -> None:
    """Draw the hair or cloth behind the head."""
    figure = canvas.figure
    if person.back_hair:
        canvas.fill(figure.canvas("back"), scaled(person.hair_color, 0.72))
    elif person.style == "bun":
        crown = figure.group("hair_out0")[0]
        canvas.disc(crown, 0.36, scaled(person.hair_color, 0.85), 0.8)


def draw_hair(canvas: Canvas, person: Identity, texture: Stream) -> None:
    """Draw the hair or cloth on top of the head, with strands, curls or folds.

    Args:
        canvas: to draw on.
        person: owner of the hair.
        texture: random numbers for the details, the same in all images of a person.
    """
    style = person.style
    if style == "bald":
        return
    figure = canvas.figure
    color = person.hair_color
    outer, inner = figure.curve("hair_out"), figure.curve("hair_in")
    if style == "buzz":
        color = mix(color, person.skin_color, 0.35)
    if style in ("curly", "afro"):
        _draw_curls(canvas, person, texture)
    canvas.between("hair_out", "hair_in", color)
    if style in _CLOTH:
        for share in (0.3, 0.6):
            fold = outer * share + inner * (1.0 - share)
            canvas.stroke(figure.fixed(fold[4:-4]), scaled(color, 0.82))
        canvas.stroke(figure.canvas("hair_in"), scaled(color, 0.7), 3.0 if style == "beanie" else 1.5)
    elif style not in ("buzz", "afro"):
        for _ in range(6):
            share, start = texture.uniform(0.08, 0.92), int(texture.uniform(2, 28))
            strand = outer * share + inner * (1.0 - share)
            tone = scaled(color, texture.pick((0.72, 0.8, 1.22, 1.38)))
            canvas.stroke(figure.fixed(strand[start : start + int(texture.uniform(8, 22))]), tone)


def _draw_curls(canvas: Canvas, person: Identity, texture: Stream) -> None:
    outer, inner = canvas.figure.curve("hair_out"), canvas.figure.curve("hair_in")
    curly = person.style == "curly"

    def curl(center: FloatArray, radius: float, brightest: float) -> None:
        size = radius * texture.uniform(0.8, 1.2)
        canvas.disc(center, size, scaled(person.hair_color, texture.uniform(0.9, brightest)))

    for center in outer[:: 4 if curly else 3]:
        curl(center, 0.13 if curly else 0.10, 1.12)
    for center in inner[2:-2:6] if curly else ():
        curl(center, 0.09, 1.1)


def draw_beard(canvas: Canvas, person: Identity) -> None:
    """Draw the beard; the mouth is drawn on top of it."""
    figure = canvas.figure
    color = mix(person.brow_color, person.skin_color, 0.12)
    if person.beard == "full":
        canvas.fill(np.concatenate((figure.canvas("jaw"), figure.canvas("beard_in")[::-1])), color)
    elif person.beard == "goatee":
        canvas.fill(figure.canvas("goatee"), color)
    elif person.beard == "stubble":
        shadow = mix(person.skin_color, color, 0.26)
        canvas.fill(np.concatenate((figure.canvas("jaw"), figure.canvas("beard_in")[::-1])), shadow)
        canvas.between("moustache", "moustache_lo", shadow)
    if person.beard in ("full", "goatee", "moustache"):
        canvas.between("moustache", "moustache_lo", color)


def draw_glasses(canvas: Canvas, person: Identity) -> None:
    """Draw the frame of the glasses."""
    if person.glasses == "none":
        return
    figure = canvas.figure
    color = person.glasses_color
    width = {"thin": 1.0, "round": 1.4, "thick": 2.6}[person.glasses]
    inner = []
    for side in "RL":
        frame = figure.canvas(f"frame.{side}")
        if person.glasses == "round":
            middle = frame.mean(axis=0)
            arm = frame - middle
            reach = np.hypot(arm[:, 0], arm[:, 1])[:, None]
            frame = (middle + arm * (reach.mean() / reach)).astype(np.int32)
        canvas.stroke(frame, color, width, closed=True)
        temple = np.stack((frame[12], figure.fixed(figure.group(f"temple.{side}")[0])))
        canvas.stroke(temple, color, max(1.0, 0.8 * width))
        inner.append(frame[0])
    canvas.stroke(np.stack(inner), color, width)
