"""Draw saliency maps over faces, and the weights of attention modules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from mfer_lightning.figures.style import BLUE, INK, ORANGE, bare, heading, new_figure, percent

#: Number of faces per row.
COLUMNS = 8

#: Perceptually uniform, from dark to light, and readable without colour vision.
COLOURS = "inferno"


@dataclass(frozen=True)
class Explained:
    """One face with the maps of one or two classes.

    Args:
        face: (H,W,3) uint8 RGB.
        said: the predicted class.
        true: the true class.
        confidence: probability of the prediction, 0 to 1.
        maps: for each class shown, its name and (H,W) map within 0..1.
    """

    face: NDArray[np.uint8]
    said: str
    true: str
    confidence: float
    maps: Sequence[tuple[str, NDArray[np.float32]]]


def overlay(face: NDArray[np.uint8], heat: NDArray[np.float32], strength: float = 0.55) -> NDArray[np.uint8]:
    """Overlay a map on a greyscale face: the larger its value, the brighter the colour.

    Args:
        face: (H,W,3) uint8 RGB.
        heat: (H,W) within 0..1.
        strength: opacity of the colour, 0 to 1.

    Returns:
        (H,W,3) uint8.

    Example:
        >>> overlay(np.full((2, 2, 3), 100, dtype=np.uint8), np.zeros((2, 2), dtype=np.float32), 0.0).tolist()[0][0]
        [100, 100, 100]
    """
    grey = np.repeat(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)[:, :, None], 3, axis=2)
    colour = 255 * mpl.colormaps[COLOURS](np.clip(heat, 0, 1))[:, :, :3]
    mixed: NDArray[np.uint8] = np.rint((1 - strength) * grey + strength * colour).astype(np.uint8)
    return mixed


def plot_saliency(examples: Sequence[Explained], path: str | Path, title: str = "Grad-CAM") -> None:
    """Draw faces, and below each face its maps: the regions that support one or two classes.

    Args:
        examples: at least one face.
        path: PNG to write.
        title: heading.

    Raises:
        ValueError: if there are no faces.
    """
    if not examples:
        raise ValueError("Expected argument `examples` to contain at least one face, but got none.")
    columns = min(COLUMNS, len(examples))
    blocks = [examples[i : i + columns] for i in range(0, len(examples), columns)]
    layers = 1 + max(len(example.maps) for example in examples)
    with new_figure(path, 0.3 + 1.32 * columns, 0.6 + len(blocks) * (0.25 + 1.36 * layers)) as figure:
        heading(figure, title)
        grid = figure.subplots(layers * len(blocks), columns, squeeze=False)
        for axes in grid.ravel():
            axes.set_axis_off()
        for b, block in enumerate(blocks):
            for column, example in enumerate(block):
                colour = BLUE if example.said == example.true else ORANGE
                words = f"{example.said} {percent(example.confidence, 0)}"
                if example.said != example.true:
                    words += f"\ntruth: {example.true}"
                _picture(grid[b * layers, column], example.face, words, colour)
                for place, (name, heat) in enumerate(example.maps, start=1):
                    picture = overlay(example.face, heat)
                    _picture(grid[b * layers + place, column], picture, f"for {name}", "#8C8C8C")


def plot_attention(
    faces: Sequence[NDArray[np.uint8]],
    stages: Sequence[tuple[str, NDArray[np.float32], NDArray[np.int64]]],
    path: str | Path,
    title: str = "Attention weights",
) -> None:
    """Draw each face with its attention weights: the mean over channels, and the most uneven channels.

    Weights are relative to the uniform weight, 1/(h*w): 1 is uniform, and h*w means that all attention is on one
    position. The mean has the same colour scale for all faces of a stage; each channel has a separate scale, from 0 to
    its peak.

    Args:
        faces: B uint8 images (H,W,3), RGB.
        stages: for each stage, its name, weights (B,C,h,w) that sum to 1 over positions, and (B,M) channels to show.
        path: PNG to write.
        title: heading.

    Raises:
        ValueError: if there are no faces or no stages.
    """
    if not len(faces) or not stages:
        raise ValueError("Expected arguments `faces` and `stages` to contain at least one each.")
    columns = 1 + sum(1 + channels.shape[1] for _, _, channels in stages)
    with new_figure(path, 0.3 + 1.12 * columns, 0.9 + 1.36 * len(faces)) as figure:
        heading(figure, title)
        grid = figure.subplots(len(faces), columns, squeeze=False)
        for i, face in enumerate(faces):
            _picture(grid[i, 0], face, "", "#8C8C8C")
        column = 1
        for name, weights, channels in stages:
            relative = weights * (weights.shape[2] * weights.shape[3])
            mean = relative.mean(axis=1)
            grid[0, column].set_title(f"{name}, mean", fontsize=8.5, loc="left")
            for i in range(len(faces)):
                _weights(grid[i, column], mean[i], float(mean.min()), float(mean.max()), f"peak {mean[i].max():.2f}")
                for place, channel in enumerate(channels[i].tolist(), start=1):
                    one = relative[i, channel]
                    words = f"channel {channel}, {one.max():.1f}"
                    _weights(grid[i, column + place], one, 0.0, float(one.max()), words)
            column += 1 + channels.shape[1]


def _picture(axes: Axes, picture: NDArray[np.uint8], words: str, colour: str) -> None:
    axes.set_axis_on()
    axes.imshow(picture, interpolation="nearest")
    _frame(axes, words, colour)


def _weights(axes: Axes, values: NDArray[np.floating], low: float, high: float, words: str) -> None:
    axes.imshow(values, cmap=COLOURS, vmin=low, vmax=max(high, low + 1e-12), interpolation="nearest")
    _frame(axes, words, "#8C8C8C")


def _frame(axes: Axes, words: str, colour: str) -> None:
    bare(axes)
    axes.spines[:].set(color=colour, linewidth=1.2)
    axes.set_xlabel(words, fontsize=7.5, color=INK, labelpad=2)
