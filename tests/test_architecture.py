"""The list of files in docs/architecture.md matches the tree, with a one-line description of each file."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def file_index():
    sys.path.insert(0, str(ROOT / "docs" / "tools"))
    try:
        import file_index
    finally:
        sys.path.pop(0)
    return file_index


def test_list_of_files_matches_the_tree(file_index):
    text = file_index.PAGE.read_text(encoding="utf-8")
    assert text == file_index.page(text, file_index.index()), "run python docs/tools/file_index.py"


def test_every_file_has_a_one_line_description(file_index):
    lines = {str(f.relative_to(ROOT)): file_index.summary(f) for f in file_index.PACKAGE.rglob("*.py")}
    assert len(lines) > 200
    assert not {name: line for name, line in lines.items() if not 10 <= len(line) <= 160}
