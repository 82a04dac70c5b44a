"""Write a report into a folder atomically."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from mfer_lightning.errors import UserError
from mfer_lightning.files import replace_folder, write_error, write_text
from mfer_lightning.reporting.pages.document import Document, Options, build_document
from mfer_lightning.reporting.pages.render import render_csv, render_html, render_latex, render_markdown, render_runs

#: A folder that contains this page and nothing outside CONTENT is a report, which a new report may replace.
PAGE = "report.html"
CONTENT = {PAGE, "report.md", "report.tex", "tables", "figures"}
#: Text near the start of a page that identifies it as a report of this package.
_MARK = b'name="generator" content="mfer_lightning'


def write_report(
    folders: Sequence[str], output: str | Path, options: Options, progress: Callable[[str], None] = lambda _: None
) -> Document:
    """Write a report on finished runs: ``report.html``, ``report.md``, ``report.tex``, ``tables/`` and ``figures/``.

    Args:
        folders: runs, sweeps, or folders of runs.
        output: folder of the report; an earlier report there is replaced when the new one is complete.
        options: options of the report.
        progress: called with a short description at each step.

    Returns:
        The content of the report.

    Raises:
        UserError: if there is nothing to report on, or the folder contains something else or cannot be written to.
    """
    target = Path(output).expanduser()
    if target.exists() and not _replaceable(target):
        raise UserError(f"{target} exists and is not a report. Choose another folder with output=<folder>.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as scratch:
            fresh, old = Path(scratch) / "new", Path(scratch) / "old"
            fresh.mkdir()
            document = build_document(folders, options, fresh, progress)
            progress("writing")
            _write(document, fresh)
            replace_folder(target, fresh, old)
    except OSError as error:
        otherwise = "choose another folder with output=<folder>"
        raise write_error(f"write the report {target}", error, otherwise) from error
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
    """Whether the folder is empty or one of our reports; other programs may also write a ``report.html``."""
    if not target.is_dir():
        return False
    names = {path.name for path in target.iterdir() if path.name != ".DS_Store"}
    if not names:
        return True
    if PAGE not in names or not names <= CONTENT:
        return False
    with (target / PAGE).open("rb") as file:
        return _MARK in file.read(4096)
