"""The confidence numbers of the ablation page come from the archived predictions."""

from __future__ import annotations

import re
from pathlib import Path

from studies.conftest import Script

DOCUMENT = Path(__file__).parents[2] / "docs" / "experiments" / "ferplus_ablation.md"


def test_document_matches_the_script_output(script: Script) -> None:
    said = script("ferplus_ablation/confidence.py")
    assert said.code == 0, said.err
    found = re.findall(r"(\d+) runs  ECE +([\d.]+)%  confidence - accuracy +([+-]\d+\.\d\d)", said.out)
    assert [runs for runs, _, _ in found] == ["49", "35", "35"]
    text = DOCUMENT.read_text(encoding="utf-8").replace("−", "-")
    for _, error, sure in found:
        assert f"{error}%" in text
        assert sure in text
