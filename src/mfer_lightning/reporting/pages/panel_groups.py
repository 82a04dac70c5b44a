"""Draw the panels of a section to files, and group them under headings."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mfer_lightning.reporting.study.sections import Method, Section

#: Maximum number of methods with their own panels, to keep the page readable.
MOST_PANELS = 12


@dataclass(frozen=True)
class Picture:
    """One panel.

    Args:
        file: PNG file of the panel, relative to the report's folder.
        svg: SVG of the panel, for the web page.
        alt: text description.
    """

    file: str
    svg: str
    alt: str


@dataclass(frozen=True)
class Group:
    """A group of panels with a heading.

    Args:
        title: heading.
        caption: explanation of the panels.
        pictures: the panels, at least one.
    """

    title: str
    caption: str
    pictures: tuple[Picture, ...]


class SectionPanels:
    """Draw the panels of a section.

    Args:
        section: the section to draw.
        folder: the report's folder.
    """

    def __init__(self, section: Section, folder: Path) -> None:
        self.section = section
        self.folder = folder
        self.methods = self._shown()
        self._files: set[str] = set()

    def limit_note(self, shown: int | None = None) -> str:
        """Return a sentence with the number of methods shown (default: those in ``methods``); empty if all are."""
        total, shown = len(self.section.methods), len(self.methods) if shown is None else shown
        return f" {shown} of {total} methods {'is' if shown == 1 else 'are'} shown." if shown < total else ""

    def picture(self, name: str, alt: str, draw: Callable[..., str], *data: Any, **options: Any) -> Picture:
        """Draw a panel.

        Args:
            name: name of the panel's file; any text.
            alt: text description.
            draw: a panel function of :mod:`mfer_lightning.figures`, which takes ``path`` and returns SVG.
            data: the data to draw.
            options: further arguments of ``draw``.
        """
        safe = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:80] or "figure"
        free = (safe, *(f"{safe}-{n}" for n in range(2, len(self._files) + 2)))  # -0.5 and 0.5 are both "0-5"
        file = next(f for name in free if (f := f"figures/{self.section.slug}/{name}.png") not in self._files)
        self._files.add(file)
        return Picture(file, draw(*data, path=self.folder / file, **options), alt)

    def _shown(self) -> list[Method]:
        """Choose the methods with panels: all, or the baseline and those with the highest mean accuracy."""
        section = self.section
        if len(section.methods) <= MOST_PANELS:
            return list(section.methods)
        ranked = sorted(section.methods, key=lambda m: -float(np.mean(m.figures("accuracy") or [0.0])))
        kept = [section.baseline, *(m for m in ranked if m is not section.baseline)][:MOST_PANELS]
        return [m for m in section.methods if m in kept]
