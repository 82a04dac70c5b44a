"""Make a section of a report from a matrix of models and datasets: a heat map and its table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mfer_lightning.figures.heat_map import ROOMY, heat_map_panel
from mfer_lightning.plurals import counted
from mfer_lightning.reporting.pages.panel_groups import Group, Picture
from mfer_lightning.reporting.study.matrices import StoredMatrix, matrix_sentences, matrix_table
from mfer_lightning.reporting.study.tables import Table


@dataclass(frozen=True)
class MatrixSection:
    """A section about a matrix.

    Args:
        title: heading.
        slug: name for links and files.
        words: what was measured, in a sentence.
        findings: one sentence per model.
        notes: reasons why pairs are not comparable.
        table: one row per pair.
        figure: the heat map.
    """

    title: str
    slug: str
    words: str
    findings: tuple[str, ...]
    notes: tuple[str, ...]
    table: Table
    figure: Group


def matrix_sections(matrices: Sequence[StoredMatrix], folder: Path) -> list[MatrixSection]:
    """Draw the heat maps and write the text.

    Args:
        matrices: the matrices.
        folder: the report's folder.
    """
    sections = []
    for place, matrix in enumerate(matrices, start=1):
        mark = "" if len(matrices) == 1 else f" ({matrix.folder.name})"
        slug = "matrix" if place == 1 else f"matrix-{place}"
        count = f"{counted(len(matrix.models), 'model')} on {counted(len(matrix.datasets), 'dataset')}"
        sections.append(
            MatrixSection(
                title=f"Models across datasets{mark}",
                slug=slug,
                words=f"{count}, split {matrix.split}, classes matched by name.",
                findings=tuple(matrix_sentences(matrix)),
                notes=matrix.notes,
                table=matrix_table(matrix),
                figure=_figure(matrix, folder, f"figures/{slug}/heat-map.png"),
            )
        )
    return sections


def _figure(matrix: StoredMatrix, folder: Path, file: str) -> Group:
    rows = matrix.rows()
    svg = heat_map_panel(
        [[cell["accuracy"] for cell in row] for row in rows],
        [
            ["" if cell["low"] is None else f"{100 * cell['low']:.0f} to {100 * cell['high']:.0f}" for cell in row]
            for row in rows
        ],
        matrix.models,
        matrix.datasets,
        folder / file,
        framed=[[cell["at_home"] for cell in row] for row in rows],
        title="Accuracy (%)",
    )
    alt = f"Heat map of the accuracy of {', '.join(matrix.models)} on {', '.join(matrix.datasets)}"
    intervals = "Below each value: 95% interval. " if len(matrix.datasets) <= ROOMY else ""
    caption = f"{intervals}Frame: the model was trained on this dataset. Dash: not measured."
    return Group("Heat map", caption, (Picture(file, svg, alt),))
