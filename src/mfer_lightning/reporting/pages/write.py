"""Write a report into a folder atomically."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from mfer_lightning.errors import UserError
from mfer_lightning.files import write_text
from mfer_lightning.reporting.pages.document import Document, Options, build_document
from mfer_lightning.reporting.pages.render import render_csv, render_html, render_latex, render_markdown, render_runs

#: By this file, and by holding nothing but these, a folder is known to be a report, which a later one may replace.
PAGE = "report.html"
CONTENT = {PAGE, "report.md", "report.tex", "tables", "figures"}
#: What our pages say of themselves near their beginning.
_MARK = b'name="generator" content="mfer_lightning'


def write_report(
    folders: Sequence[str], output: str | Path, options: Options, progress: Callable[[str], None] = lambda _: None
) -> Document:
    """Make a report from finished runs: ``report.html``, ``report.md``, ``report.tex``, ``tables/`` and ``figures/``.

    Args:
        folders: runs, sweeps, or folders of them.
        output: folder of the report; an earlier report there is replaced when the new one is whole.
        options: what was chosen.
        progress: called with a few words at each step.

    Returns:
        What the report says.

    Raises:
        UserError: if there is nothing to report on, or the folder holds something else or cannot be written to.
    """
    target = Path(output).expanduser()
    if target.exists() and not _replaceable(target):
        raise UserError(f"{target} exists and is not a report: choose another folder with output=<folder>.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as scratch:
            fresh, old = Path(scratch) / "new", Path(scratch) / "old"
            fresh.mkdir()
            document = build_document(folders, options, fresh, progress)
            progress("writing")
            _write(document, fresh)
            if target.exists():
                target.rename(old)
            fresh.rename(target)
    except OSError as error:
        raise UserError(
            f"Cannot write the report {target}: {error.strerror or error}. Choose another folder with output=<folder>."
        ) from error
    return document


def _write(document: Document, folder: Path) -> None:
    write_text(folder / "report.md", render_markdown(document))
    write_text(folder / "report.tex", render_latex(document))
    write_text(folder / "tables" / "runs.csv", render_runs(document))
    for chapter in document.chapters:
        for table in chapter.tables:
            write_text(folder / "tables" / chapter.section.slug / f"{table.name}.csv", render_csv(table))
    for matrix in document.matrices:
        write_text(folder / "tables" / matrix.slug / f"{matrix.table.name}.csv", render_csv(matrix.table))
    write_text(folder / PAGE, render_html(document))


def _replaceable(target: Path) -> bool:
    """Whether nothing of anybody else's is lost: other programs write a ``report.html``, too."""
    if not target.is_dir():
        return False
    names = {path.name for path in target.iterdir() if path.name != ".DS_Store"}
    if not names:
        return True
    if PAGE not in names or not names <= CONTENT:
        return False
    with (target / PAGE).open("rb") as file:
        return _MARK in file.read(4096)
