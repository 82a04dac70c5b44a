"""A matrix of models and datasets: notes on its pairs, and its files."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from mfer_lightning.analysis.matrix import Cell, Matrix
from mfer_lightning.analysis.transfer_matrix import _name_and_options, _short_names
from mfer_lightning.errors import UserError
from mfer_lightning.reporting.terminal.matrix import print_matrix

HOME = Cell("a", "facs", "facs@native", "facs@native", 200, 8, (), 0.8, 0.74, 0.85, 0.79, at_home=True)
AWAY = replace(HOME, dataset="rafdb", classes=7, left_out=("contempt",), accuracy=0.4, at_home=False)
FAILED = Cell("b", "facs", error="The classes differ.")
MATRIX = Matrix(("a", "b"), ("facs", "rafdb"), "test", (HOME, AWAY, FAILED, replace(FAILED, dataset="rafdb")))


def test_notes_name_incomparable_and_failed_pairs() -> None:
    assert MATRIX.notes() == [
        "a on rafdb: over 7 classes, without contempt: not comparable with the others",
        "b on facs; b on rafdb: not measured: The classes differ.",
    ]
    assert [cell.dataset for cell in MATRIX.failed] == ["facs", "rafdb"]


def test_files_contain_every_pair_and_a_heat_map(tmp_path: Path, blank_figures: None) -> None:
    MATRIX.write(tmp_path / "out")
    with (tmp_path / "out" / "matrix.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["model"], row["dataset"], row["accuracy"]) for row in rows] == [
        ("a", "facs", "0.8"),
        ("a", "rafdb", "0.4"),
        ("b", "facs", ""),
        ("b", "rafdb", ""),
    ]
    stored = json.loads((tmp_path / "out" / "matrix.json").read_text())
    assert stored["cells"][1]["left_out"] == ["contempt"]
    assert stored["notes"] == MATRIX.notes()
    assert (tmp_path / "out" / "figures" / "matrix.png").is_file()


@pytest.mark.parametrize("datasets", [2, 5])
def test_terminal_shows_every_accuracy_within_80_columns(datasets: int) -> None:
    names = ("facs", "rafdb", "facs difficulty=0.8", "ferplus protocol=dev", "affectnet8")[:datasets]
    cells = tuple(replace(HOME, dataset=name, accuracy=0.5 + 0.01 * n) for n, name in enumerate(names))
    console = Console(width=80, file=io.StringIO())
    print_matrix(Matrix(("a",), names, "test", cells).to_dict(), "out", console)
    said = console.file.getvalue()
    for n in range(datasets):
        assert f"{50 + n}.0%" in said
    assert max(map(len, said.splitlines())) <= 80
    assert "* trained on this dataset" in said


def test_models_are_named_by_the_distinct_part_of_their_paths() -> None:
    assert _short_names(["runs/a", "runs/b/checkpoints/best.ckpt"]) == ["a", "b"]
    assert _short_names(["one/best", "two/best"]) == ["one/best", "two/best"]


def test_dataset_is_a_name_or_a_mapping_with_options() -> None:
    assert _name_and_options("facs") == ("facs", [])
    given = {"name": "facs", "difficulty": 0.8, "protocol": "native", "trust_labels": True, "size": None}
    assert _name_and_options(given) == (
        "facs",
        ["dataset.difficulty=0.8", "dataset.protocol='native'", "dataset.trust_labels=true", "dataset.size=null"],
    )
    with pytest.raises(UserError, match="a mapping with its name and options"):
        _name_and_options({"difficulty": 1})
