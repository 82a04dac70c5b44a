"""Lists of faces from users: all simple formats, and names that do not match are counted and reported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mfer_lightning.data.labels.face_lists import match_list, read_names
from mfer_lightning.errors import UserError

RAFDB = [f"Image/aligned/train_{i:05d}_aligned.jpg" for i in range(3)] + [
    f"Image/aligned/test_{i:04d}_aligned.jpg" for i in range(4)
]
TEST = np.array([3, 4, 5, 6])


def names_of(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "list.txt"
    path.write_text(text, encoding="utf-8")
    return read_names(path)


@pytest.mark.parametrize(
    "text",
    [
        "test_0001.jpg\ntest_0003.jpg\n",
        "test_0001_aligned.jpg 5\ntest_0003_aligned.jpg 2\n",
        "5 test_0001\n2 test_0003\n",
        "name,label\ntest_0001.jpg,5\ntest_0003.jpg,2\n",
        "\ufeff'Image/aligned/test_0001_aligned.jpg';5\r\n\r\n\"TEST_0003.JPG\";2",
        "..\\aligned\\test_0001.png\t5\n..\\aligned\\test_0003.png\t2",
    ],
)
def test_simple_list_formats_are_read(text: str, tmp_path: Path) -> None:
    names = names_of(tmp_path, text)
    assert len(names) == 2
    assert match_list("occlusion", names, RAFDB, TEST).rows.tolist() == [4, 6]


def test_ferplus_and_affectnet_names_match(tmp_path: Path) -> None:
    ferplus = ["FER2013Test/fer0032220.png", "FER2013Test/fer0032222.png"]
    found = match_list("pose30", names_of(tmp_path, "3/fer0032222.png 3\n"), ferplus, np.array([0, 1]))
    assert found.rows.tolist() == [1]
    affectnet = ["Manually_Annotated_Images/103/29a3.jpg", "Manually_Annotated_Images/71/29a3.JPG"]
    found = match_list(
        "pose45", names_of(tmp_path, "subDirectory_filePath\n71/29a3.jpg\n"), affectnet, np.array([0, 1])
    )
    assert found.rows.tolist() == [1]  # one name in two folders: the folder decides


def test_path_column_is_read_verbatim_with_spaces_and_commas(tmp_path: Path) -> None:
    paths = ["my faces/a, 1.png", "my faces/b 2.png", "my faces/2.png"]
    names = names_of(
        tmp_path, 'twin,path,same\nmy faces/2.png,my faces/b 2.png,pixels\nx9.png,"my faces/a, 1.png",looks\n'
    )
    assert names == ["my faces/b 2.png", "my faces/a, 1.png"]
    assert match_list("seen", names, paths, np.arange(3)).rows.tolist() == [0, 1]


def test_paths_differing_only_in_extension_or_case_are_different_faces(tmp_path: Path) -> None:
    paths = ["test/a.png", "test/a.jpg", "test/B.png", "test/b.png", "test/c.png", "test/c_aligned.png"]
    found = match_list("seen", names_of(tmp_path, "path\n" + "\n".join(paths)), paths, np.arange(6))
    assert (found.rows.tolist(), found.repeated) == (list(range(6)), 0)


def test_name_with_spaces_never_matches_by_its_last_word(tmp_path: Path) -> None:
    paths = ["my faces/b 2.png", "my faces/2.png", "my faces/c.png"]
    names = names_of(tmp_path, "path\ndata/my faces/b 2.png\nmy faces/x 2.png\n")
    found = match_list("seen", names, paths, np.arange(3))
    assert (found.rows.tolist(), found.unknown) == ([0], ("my faces/x 2.png",))


def test_path_shared_by_several_faces_of_a_photo_matches_none() -> None:
    found = match_list("seen", ["1/a.jpg", "1/b.jpg"], ["1/a.jpg", "1/a.jpg", "1/b.jpg"], np.arange(3))
    assert (found.rows.tolist(), found.unknown) == ([2], ("1/a.jpg",))


def test_control_characters_in_names_are_escaped() -> None:
    found = match_list("x", ["test_0001.jpg", "\x1b[2Ja.jpg"], RAFDB, TEST)
    assert "\x1b" not in found.describe()
    assert "is not a face of the dataset (\\x1b[2Ja.jpg)" in found.describe()
    with pytest.raises(UserError, match=r"the first of 1 name is \\x1b\[2Ja.jpg"):
        match_list("x", ["\x1b[2Ja.jpg"], RAFDB, TEST)


def test_missing_unknown_and_duplicate_names_are_counted_and_reported() -> None:
    names = [
        "test_0001.jpg",
        "test_0001_aligned.jpg",
        "train_00002.jpg",
        "fer0001.png",
        "test_9999.jpg",
        "test_0002.jpg",
    ]
    found = match_list("occlusion", names, RAFDB, TEST)
    assert found.rows.tolist() == [4, 5]
    assert (found.listed, found.repeated) == (5, 1)
    assert found.elsewhere == ("train_00002.jpg",)
    assert found.unknown == ("fer0001.png", "test_9999.jpg")
    said = found.describe()
    assert "2 of its 5 names are faces evaluated here" in said
    assert "1 is another face of the dataset (train_00002.jpg)" in said
    assert "2 are not faces of the dataset (fer0001.png, test_9999.jpg)" in said
    assert "1 line repeats a name" in said


def test_ambiguous_name_matches_only_with_its_folder() -> None:
    paths = ["test/1/a7.jpg", "test/2/a7.jpg", "test/2/b8.jpg"]
    found = match_list("x", ["a7.jpg", "b8.jpg"], paths, np.arange(3))
    assert (found.rows.tolist(), found.unknown) == ([2], ("a7.jpg",))
    assert match_list("x", ["a7.jpg", "2/b8.jpg"], paths, np.array([1, 2])).rows.tolist() == [1, 2]  # one is evaluated
    assert match_list("x", ["1/a7.jpg", "test/2/a7.jpg"], paths, np.arange(3)).rows.tolist() == [0, 1]


@pytest.mark.parametrize("names", [["fer0001.png", "fer0002.png"], ["train_00001.jpg"], []])
def test_list_without_evaluated_faces_raises_one_clear_error(names: list[str]) -> None:
    with pytest.raises(UserError, match=r"lists\.pose30: none of its names is a face evaluated here") as stop:
        match_list("pose30", names, RAFDB, TEST)
    assert "have names like Image/aligned/test_0000_aligned.jpg" in str(stop.value)


def test_invalid_list_files_raise_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no list"):
        read_names(tmp_path / "nothing.txt")
    with pytest.raises(UserError, match="There is no list"):
        read_names(tmp_path)
    (tmp_path / "empty.txt").write_text(" \n\n")
    with pytest.raises(UserError, match="is empty"):
        read_names(tmp_path / "empty.txt")
    (tmp_path / "picture.txt").write_bytes(b"\xff\xd8\xff\xe0" + bytes(range(256)))
    with pytest.raises(UserError, match="not a text file"):
        read_names(tmp_path / "picture.txt")
    (tmp_path / "torn.csv").write_text('path,twin\n"a.png,b.png\nc.png,d.png\n')
    with pytest.raises(UserError, match="not a csv row"):
        read_names(tmp_path / "torn.csv")


def test_line_longer_than_the_csv_field_limit_is_read(tmp_path: Path) -> None:
    assert names_of(tmp_path, " ".join(f"fer{i:07d}.png" for i in range(12_000)))[0] == "fer0000000.png"


def test_long_list_is_matched_quickly(tmp_path: Path) -> None:
    paths = [f"train_set/images/{i}.jpg" for i in range(20_000)]
    names = names_of(tmp_path, "\n".join(f"{i}.jpg" for i in range(0, 40_000, 2)))
    found = match_list("all", names, paths, np.arange(20_000))
    assert (len(found.rows), len(found.unknown)) == (10_000, 10_000)
