"""Draw eyes, brows, nose and mouth."""

from __future__ import annotations

import numpy as np

from mfer_lightning.data.facs.average_face import FloatArray
from mfer_lightning.data.facs.canvas import CIRCLE, Canvas
from mfer_lightning.data.facs.identity import Identity, mix, scaled

#: (4, 16, 2) outlines in template units: the iris's rim, the iris, the pupil, and a highlight above its middle.
_RINGS = np.stack((0.104 * CIRCLE, 0.084 * CIRCLE, 0.046 * CIRCLE, 0.028 * CIRCLE + (0.0, -0.035)))


def draw_eye(canvas: Canvas, side: str, person: Identity, iris: FloatArray, light_x: float) -> None:
    """Draw one eye: white, iris, pupil and highlight in the opening between the lids, then the lid lines.

    Args:
        canvas: to draw on.
        side: ``"R"`` or ``"L"``, the person's.
        person: owner of the eye.
        iris: (2,) centre of the iris in pixels of the image.
        light_x: horizontal light direction, for the highlight.
    """
    figure = canvas.figure
    upper, lower = figure.curve(f"lid_up.{side}"), figure.curve(f"lid_lo.{side}")
    skin = person.skin_color
    opening = float((lower[:, 1] - upper[:, 1]).max())
    if opening > 0.02 * figure.unit:
        canvas.between(f"lid_up.{side}", f"lid_lo.{side}", mix((240.0, 238.0, 236.0), skin, 0.08))
        discs = iris + _RINGS * figure.unit
        discs[-1, :, 0] += (0.03 if light_x > 0 else -0.03) * figure.unit
        _keep_between(discs, upper, lower)
        colors = (scaled(person.iris_color, 0.55), person.iris_color, (14.0, 12.0, 12.0), (250.0, 250.0, 250.0))
        for disc, color in zip(figure.fixed(discs), colors, strict=True):
            canvas.fill(disc, color)
    dark = mix(scaled(skin, 0.25), (20.0, 14.0, 12.0), 0.5)
    canvas.stroke(figure.canvas(f"lid_lo.{side}"), mix(scaled(skin, 0.62), dark, 0.15))
    canvas.stroke(figure.canvas(f"crease.{side}"), scaled(skin, 0.74))
    canvas.stroke(figure.canvas(f"lid_up.{side}"), dark, 1.6 * person.lashes)


def _keep_between(shapes: FloatArray, upper: FloatArray, lower: FloatArray) -> None:
    """Clip the points of shapes (..., 2) in place to the opening between two curves (m, 2)."""
    step = 1 if upper[0, 0] < upper[-1, 0] else -1
    x = shapes[..., 0]
    above = np.interp(x, upper[::step, 0], upper[::step, 1])
    below = np.interp(x, lower[::step, 0], lower[::step, 1])
    shapes[..., 1] = np.minimum(np.maximum(shapes[..., 1], above), np.maximum(above, below))


def draw_brow(canvas: Canvas, side: str, person: Identity) -> None:
    """Draw one brow, slightly lighter towards its edge."""
    figure = canvas.figure
    outline = np.concatenate((figure.canvas(f"brow_up.{side}"), figure.canvas(f"brow_lo.{side}")[::-1]))
    canvas.stroke(outline, mix(person.brow_color, person.skin_color, 0.45), closed=True)
    canvas.fill(outline, person.brow_color)


def draw_nose(canvas: Canvas, person: Identity) -> None:
    """Draw wings, underside and nostrils; the bridge is drawn by shading."""
    figure = canvas.figure
    skin = person.skin_color
    shade = mix(scaled(skin, 0.62), (90.0, 30.0, 20.0), 0.15)
    canvas.stroke(figure.canvas("nose_under"), scaled(shade, 1.12), 1.4)
    for side in "RL":
        canvas.stroke(figure.canvas(f"wing.{side}"), shade, 1.3)
        canvas.disc(figure.group(f"nostril.{side}")[0], 0.052, scaled(shade, 0.5), 0.55)


def draw_mouth(canvas: Canvas, person: Identity, lower_teeth: float) -> None:
    """Draw the lips and the inside of an open mouth: upper teeth, tongue, and lower teeth if the lip is pulled down.

    Args:
        canvas: to draw on.
        person: owner of the mouth.
        lower_teeth: visible fraction of the lower row, 0 to 1.
    """
    figure = canvas.figure
    upper, lower = figure.curve("lip_iu"), figure.curve("lip_il")
    lip = person.lip_color
    gap = lower[:, 1] - upper[:, 1]
    deepest = float(gap.max())
    canvas.between("lip_ou", "lip_iu", scaled(lip, 0.86))
    canvas.between("lip_il", "lip_ol", lip)
    if deepest > 0.015 * figure.unit:
        canvas.between("lip_iu", "lip_il", (58.0, 18.0, 20.0))
        _fill_teeth(canvas, upper, np.minimum(gap, _teeth(deepest / figure.unit) * figure.unit), 1.0)
        if deepest > 0.16 * figure.unit:
            tongue = lower.copy()
            tongue[:, 1] -= np.clip(gap - 0.13 * figure.unit, 0.0, 0.13 * figure.unit)
            canvas.fill(figure.fixed(np.concatenate((tongue[3:-3], lower[3:-3][::-1]))), (172.0, 82.0, 84.0))
        if lower_teeth > 0.1:
            _fill_teeth(canvas, lower, np.minimum(0.55 * gap, 0.075 * lower_teeth * figure.unit), -1.0)
    dark = mix(scaled(lip, 0.42), (60.0, 20.0, 20.0), 0.3)
    canvas.stroke(figure.canvas("lip_iu"), dark, 1.2)
    if deepest > 0.03 * figure.unit:
        canvas.stroke(figure.canvas("lip_il"), scaled(lip, 0.7))
    shine = figure.curve("lip_il")[5:-5] * 0.45 + figure.curve("lip_ol")[5:-5] * 0.55
    canvas.stroke(figure.fixed(shine), mix(lip, (255.0, 235.0, 230.0), 0.28))


def _teeth(gap: float) -> float:
    """Return the visible fraction of the upper row: all of it in a grin, half in a mouth that is wide open."""
    return 0.085 - 0.05 * min(1.0, max(0.0, (gap - 0.12) / 0.15))


def _fill_teeth(canvas: Canvas, edge: FloatArray, height: FloatArray, direction: float) -> None:
    tips = edge.copy()
    tips[:, 1] += direction * height
    row = np.concatenate((edge[1:-1], tips[1:-1][::-1]))
    canvas.fill(canvas.figure.fixed(row), (238.0, 234.0, 224.0) if direction > 0 else (222.0, 216.0, 204.0))
