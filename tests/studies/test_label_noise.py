"""The numbers on the pages about label noise match the output of the scripts."""

from __future__ import annotations

import re
from pathlib import Path

from studies.conftest import STUDIES, Script

DOCS = STUDIES.parent / "docs"


def test_power_of_the_noise_study_matches_the_registration(script: Script) -> None:
    said = script("ferplus_noise/power.py")
    assert said.code == 0, said.err
    found = {int(n): (once, twice) for n, once, twice in re.findall(r"(\d+) seeds: (\S+) points.*: (\S+)", said.out)}
    page = (DOCS / "experiments" / "ferplus_noise.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?:\*\*)?(\d+)(?:\*\*)? \| (?:\*\*)?([\d.]+)[^|]*\| (?:\*\*)?([\d.]+)", page, re.MULTILINE)
    assert [int(row[0]) for row in rows] == [5, 7, 10]
    for seeds, once, twice in rows:
        assert (f"{float(found[int(seeds)][0]):.1f}", f"{float(found[int(seeds)][1]):.1f}") == (once, twice)


def test_power_script_requires_the_ablation(script: Script, tmp_path: Path) -> None:
    said = script("ferplus_noise/power.py", tmp_path)
    assert (said.code, said.err) == (1, f"Error: {tmp_path} contains 0 runs of `plain`, but at least two are needed.")


def test_ferplus_audit_on_the_page_matches_the_script(script: Script) -> None:
    words = ("attention=none", "head=linear", "loss=ce", "--margin", "0.6")
    said = script("../benchmarks/label_noise.py", STUDIES / "ferplus_ablation", *words)
    assert said.code == 0, said.err
    mean = re.findall(r"([\d.]+)%", next(line for line in said.out.splitlines() if line.split()[0] == "mean"))
    page = (DOCS / "label_noise.md").read_text(encoding="utf-8")
    assert f"| the same | 0.6 | {mean[1]} | {mean[2]}% | {mean[3]}% | {mean[4]}% | {mean[5]}% |" in page
