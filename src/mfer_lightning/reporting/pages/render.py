"""Render a document as a web page, Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

from mfer_lightning.plurals import counted
from mfer_lightning.reporting.pages.document import Document
from mfer_lightning.reporting.pages.latex import latex
from mfer_lightning.reporting.study.tables import Cell, Table

#: A table with more rows than this is broken over pages.
LONG = 38


def render_html(document: Document) -> str:
    """Write the web page, a single file that needs no network connection and no other files."""
    environment = _environment(autoescape=True)
    environment.filters |= {"interval": interval_drawing, "counted": counted}
    return environment.get_template("report.html.j2").render(
        document=document,
        css=Markup(_resource("page.css")),  # noqa: S704 - the package's own file
        script=Markup(_resource("page.js")),  # noqa: S704 - the package's own file
        raw=Markup,  # only for drawings, which matplotlib has escaped
    )


def render_markdown(document: Document) -> str:
    """Write the report as Markdown, with the figures in separate files."""
    environment = _environment(autoescape=False)
    environment.filters["table"] = markdown_table
    environment.filters["plain"] = markdown_text
    return _tidy(environment.get_template("report.md.j2").render(document=document))


def render_latex(document: Document) -> str:
    """Write all tables as a LaTeX document with booktabs."""
    environment = _environment(autoescape=False)
    environment.filters["latex"] = latex
    environment.filters["tabular"] = latex_table
    return _tidy(environment.get_template("report.tex.j2").render(document=document))


def render_csv(table: Table) -> str:
    """Write a table as CSV: unformatted values if it has them, else the displayed text."""
    if table.data:
        return _csv_of(table.data)
    return _csv([c.title for c in table.columns], [[cell.text for cell in row] for row in table.rows])


def render_runs(document: Document) -> str:
    """Write one row per run as CSV: its section, axes, seed and all metrics."""
    rows: list[dict[str, Any]] = []
    for chapter in document.chapters:
        section = chapter.section
        for method in section.methods:
            row: dict[str, Any] = {"section": section.title, "protocol": section.protocol, "split": section.split}
            row |= dict(zip((a.title for a in section.axes), method.values, strict=True))
            for run in method.runs:
                one = row | {"seed": run.seed, "folder": run.folder.name, "n": run.result["n"], **run.result["metrics"]}
                one |= {f"recall_{k}": v["recall"] for k, v in run.result["per_class"].items()}
                one |= {f"cost_{k}": v for k, v in run.result["cost"].items() if isinstance(v, (int, float))}
                rows.append(one)
    return _csv_of(rows)


def interval_drawing(cell: Cell, reach: Sequence[float]) -> Mapping[str, float] | None:
    """Return the x positions for drawing the interval of a cell, in a box 120 units wide; None if it has none."""
    if cell.interval is None:
        return None
    low, high = reach
    room = (high - low) or 1.0

    def place(value: float) -> float:
        return round(4 + 112 * (value - low) / room, 1)

    return dict(zip(("low", "middle", "high", "zero"), map(place, (*cell.interval, 0.0)), strict=True))


def markdown_table(table: Table) -> str:
    """Write a table in Markdown."""
    head = [markdown_text(c.title) for c in table.columns]
    rule = ["---:" if c.numeric else "---" for c in table.columns]
    body = [[markdown_text(f"{c.text} ({c.below})" if c.below else c.text) for c in row] for row in table.rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, rule, *body))


def markdown_text(text: object) -> str:
    r"""Escape text for Markdown, on one line.

    Example:
        >>> markdown_text("a|b_c <i>")
        'a\\|b\\_c &lt;i&gt;'
    """
    found = " ".join(str(text).split()).replace("\\", "\\\\")
    for character in "|*_`[]#":
        found = found.replace(character, f"\\{character}")
    return found.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def latex_table(table: Table) -> str:
    """Write a table with booktabs. A wide table is scaled to the page, and a long table is broken over pages."""
    align = "".join("r" if c.numeric else "l" for c in table.columns)
    head = " & ".join(latex(c.title) for c in table.columns) + r" \\"
    body = [" & ".join(_latex_cell(cell) for cell in row) + r" \\" for row in table.rows]
    caption = f"\\caption{{{latex(table.title)}. {latex(table.caption)}}}"
    if len(table.rows) > LONG:
        lines = [r"{\scriptsize", f"\\begin{{longtable}}{{{align}}}", caption + r" \\", r"\toprule", head]
        lines += [r"\midrule", r"\endhead", *body, r"\bottomrule", r"\end{longtable}", "}"]
        return "\n".join(lines)
    lines = [r"\begin{table}[htbp]", r"\centering", caption]
    lines += [r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"]
    lines += [f"\\begin{{tabular}}{{{align}}}", r"\toprule", head, r"\midrule", *body, r"\bottomrule"]
    return "\n".join([*lines, r"\end{tabular}}", r"\end{table}"])


def _latex_cell(cell: Cell) -> str:
    text = latex(f"{cell.text} ({cell.below})" if cell.below else cell.text)
    return f"\\textbf{{{text}}}" if cell.kind in ("better", "worse") else text


def _environment(autoescape: bool) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mfer_lightning.reporting.pages"),
        autoescape=autoescape,  # noqa: S701 - Markdown and LaTeX have their own escapes
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals["is_table"] = lambda item: isinstance(item, Table)
    return environment


def _resource(name: str) -> str:
    return (files("mfer_lightning.reporting.pages") / "templates" / name).read_text(encoding="utf-8")


def _tidy(text: str) -> str:
    """Collapse consecutive empty lines left by the templates into one."""
    lines: list[str] = []
    for line in text.splitlines():
        if line.strip() or (lines and lines[-1]):
            lines.append(line.rstrip())
    return "\n".join(lines).strip() + "\n"


def _csv_of(rows: Sequence[Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return _csv(names, [[row.get(name) for name in names] for row in rows])


def _csv(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([["" if value is None else value for value in row] for row in rows])
    return text.getvalue()
