"""Write the list of files in docs/architecture.md from the first lines of the modules.

``python docs/tools/file_index.py`` rewrites the section between the two markers; a test compares it with the tree.
"""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "mfer_lightning"
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- files -->", "<!-- /files -->"


def summary(file: Path) -> str:
    """Return the first line of a module's docstring, without its full stop."""
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return " ".join(text.partition("\n\n")[0].split()).removesuffix(".")


def index(package: Path = PACKAGE) -> str:
    """Describe each folder of the package in a heading and each of its files in a line."""
    parts = []
    for folder in sorted({file.parent for file in package.rglob("*.py")}):
        name = folder.relative_to(package).as_posix()
        parts.append(f"\n### `{'mfer_lightning' if name == '.' else name}/`\n\n{summary(folder / '__init__.py')}.\n")
        files = [file for file in sorted(folder.glob("*.py")) if file.name != "__init__.py"]
        if files:
            parts.append("\n| file | what it does |\n|---|---|")
            parts += [f"\n| `{file.name}` | {summary(file).replace('|', chr(92) + '|')} |" for file in files]
            parts.append("\n")
    return "".join(parts)


def page(text: str, files: str) -> str:
    """Return the page with the list between its markers."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{files}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), index()), encoding="utf-8")
