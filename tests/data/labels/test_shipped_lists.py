"""Lists in the package are found by name, but a file of the same name takes precedence."""

from pathlib import Path

import pytest

from mfer_lightning.data.labels.face_lists import read_names
from mfer_lightning.data.labels.shipped_lists import SHIPPED_LISTS, find_list


@pytest.mark.parametrize("name", SHIPPED_LISTS)
def test_each_list_contains_image_names(name: str) -> None:
    names = read_names(find_list(name))
    assert len(names) > 100
    assert all(n.endswith(".png") for n in names)


def test_twins_list_covers_validation_and_test() -> None:
    """Under ``ferplus@dev``, 303 training faces duplicate a validation face, 378 a test face, and 34 both."""
    names = read_names(find_list("ferplus_dev_twins"))
    assert len(names) == 303 + 378
    assert len(set(names)) == 647


def test_local_file_takes_precedence_over_a_shipped_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ferplus_dev_twins").write_text("mine.png\n", encoding="utf-8")
    assert read_names(find_list("ferplus_dev_twins")) == ["mine.png"]


def test_other_names_are_paths() -> None:
    assert find_list("~/list.csv") == Path("~/list.csv").expanduser()
