"""debug=profile: a real run ends with a table of the time spent in each part of a step."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands.conftest import FACS, Mfer, only_run


@pytest.mark.slow
def test_table_is_printed_and_saved(mfer: Mfer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert mfer("debug=profile", *FACS, "trainer.max_epochs=1") == 0
    said = capsys.readouterr().out
    text = (only_run(tmp_path / "runs") / "profile" / "steps.txt").read_text()
    assert text.strip() in said
    rows = {line[:22].strip(): line.split() for line in text.splitlines()[1:]}
    for words in ("data", "forward and loss", "backward", "optimiser", "validation", "metrics and logging"):
        assert words in rows
    shares = [float(parts[-2]) for name, parts in rows.items() if name != "total"]
    assert sum(shares) == pytest.approx(100, abs=0.6)
