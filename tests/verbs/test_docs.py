"""The code blocks of `docs/python.md` run unchanged, in order."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mfer_lightning import Run

PAGE = Path(__file__).parents[2] / "docs" / "python.md"


@pytest.mark.slow
def test_page_runs(here: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 5
    said: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), said)
    assert isinstance(said["run"], Run)
    assert len(list((here / "runs" / "study").glob("*/result.json"))) == 4
