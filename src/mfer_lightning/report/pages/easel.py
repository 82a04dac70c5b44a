"""The figures of a section: what they have in common."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mfer_lightning.report.study.sections import Method, Section

#: Methods that get panels of their own; with more, a page could not be read.
MOST_PANELS = 12


@dataclass(frozen=True)
class Picture:
    """One panel.

    Args:
        file: its PNG, relative to the report's folder.
        svg: the same for the page.
        alt: what it shows, in words.
    """

    file: str
    svg: str
    alt: str


@dataclass(frozen=True)
class Group:
    """Panels that belong together.

    Args:
        title: heading.
        caption: how to read them.
        pictures: at least one.
    """

    title: str
    caption: str
    pictures: tuple[Picture, ...]


class Easel:
    """Where the figures of a section are drawn.

    Args:
        section: what to draw.
        folder: the report's folder.
    """

    def __init__(self, section: Section, folder: Path) -> None:
        self.section = section
        self.folder = folder
        self.pictured = self._pictured()
        self.few = self.told(len(self.pictured))

    def told(self, shown: int) -> str:
        """Say how many methods are shown, where it is not all of them."""
        total = len(self.section.methods)
        return f" Of {total} methods {shown} are shown." if shown < total else ""

    def picture(self, name: str, alt: str, draw: Callable[..., str]) -> Picture:
        """Draw a panel.

        Args:
            name: of its file, any words.
            alt: what it shows.
            draw: takes ``path`` and returns the panel as SVG.
        """
        safe = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:80] or "figure"
        file = f"figures/{self.section.slug}/{safe}.png"
        return Picture(file, draw(path=self.folder / file), alt)

    def _pictured(self) -> list[Method]:
        """Choose the methods with panels: all, or the baseline and the highest means."""
        section = self.section
        if len(section.methods) <= MOST_PANELS:
            return list(section.methods)
        ranked = sorted(section.methods, key=lambda m: -float(np.mean(m.figures("accuracy") or [0.0])))
        kept = [section.baseline, *(m for m in ranked if m is not section.baseline)][:MOST_PANELS]
        return [m for m in section.methods if m in kept]
