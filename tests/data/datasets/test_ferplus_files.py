from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from data.trees import write_ferplus, write_ferplus_pair

from mfer_lightning.data.datasets.ferplus import CSV_PAIR, PIXEL_ROW, PNG_FOLDERS, read_ferplus
from mfer_lightning.data.images.sources import PixelCsvSource
from mfer_lightning.errors import UserError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_ferplus(tmp_path / "ferplus", {"train": 8, "val": 3})


def edit(tree: Path, old: str, new: str) -> Path:
    path = tree / "FER2013Train" / "label.csv"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return path


def test_png_folders_are_read(ferplus_root: Path) -> None:
    index = read_ferplus(ferplus_root)
    assert index.layout == PNG_FOLDERS.name
    assert [int((index.partition == p).sum()) for p in ("train", "val", "test")] == [64, 16, 16]
    assert index.path[0] == "FER2013Train/fer0000000.png"
    assert index.votes is not None
    assert index.votes.shape == (96, 10)
    assert (index.votes.sum(axis=1) == 10).all()
    assert (index.votes[:64].argmax(axis=1) == np.arange(64) % 8).all()
    assert (index.label == -1).all()
    assert index.class_names[:3] == ("neutral", "happiness", "surprise")
    assert index.vote_names[8:] == ("unknown", "NF")


def test_missing_partitions_are_allowed(tree: Path) -> None:
    assert set(read_ferplus(tree).partition.tolist()) == {"train", "val"}


def test_rows_without_image_name_are_dropped(tree: Path) -> None:
    edit(tree, "fer0000002.png", "")
    assert "FER2013Train/fer0000002.png" not in read_ferplus(tree).path.tolist()
    assert len(read_ferplus(tree)) == 10


def test_windows_line_endings_and_encoding_are_read(tree: Path) -> None:
    before = read_ferplus(tree).fingerprint()
    path = tree / "FER2013Train" / "label.csv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_ferplus(tree).fingerprint() == before


def test_csv_pair_is_joined_row_by_row(tmp_path: Path) -> None:
    pixels = write_ferplus_pair(tmp_path, unnamed=(3, 30))
    index = read_ferplus(tmp_path)
    assert index.layout == CSV_PAIR.name
    assert [int((index.partition == p).sum()) for p in ("train", "val", "test")] == [23, 7, 8]
    assert "FER2013Train/fer0000003.png" not in index.path.tolist()
    source = PixelCsvSource(index, tmp_path / "fer2013.csv", index.attributes[PIXEL_ROW])
    for row in (0, 3, 25, 37):  # the number in a face's name is its row in fer2013.csv
        number = int(str(index.path[row])[-11:-4])
        image = source.read(row)
        assert image.shape == (48, 48, 3)
        for channel in range(3):
            np.testing.assert_array_equal(image[:, :, channel], pixels[number])


def test_folders_take_precedence_over_the_csv_pair(tree: Path) -> None:
    write_ferplus_pair(tree)
    assert read_ferplus(tree).layout == PNG_FOLDERS.name


def test_sorted_csv_pair_is_rejected(tmp_path: Path) -> None:
    write_ferplus_pair(tmp_path)
    path = tmp_path / "fer2013new.csv"
    head, *rows = path.read_text().splitlines()
    path.write_text("\n".join([head, *sorted(rows)]) + "\n")
    with pytest.raises(UserError, match="do not match: "):
        read_ferplus(tmp_path)


def test_truncated_csv_pair_is_rejected(tmp_path: Path) -> None:
    write_ferplus_pair(tmp_path)
    path = tmp_path / "fer2013new.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-2]) + "\n")
    with pytest.raises(UserError, match="40 rows against 38"):
        read_ferplus(tmp_path)


def test_invalid_pixels_name_their_line(tmp_path: Path) -> None:
    write_ferplus_pair(tmp_path)
    path = tmp_path / "fer2013.csv"
    lines = path.read_text().splitlines()
    lines[1] = "0,1 2 3,Training"
    path.write_text("\n".join(lines))
    index = read_ferplus(tmp_path)
    source = PixelCsvSource(index, path, index.attributes[PIXEL_ROW])
    with pytest.raises(UserError, match=r"fer2013\.csv, line 2: expected a square"):
        source.read(0)


class TestErrors:
    def test_missing_folder(self, tmp_path: Path) -> None:
        with pytest.raises(UserError) as error:
            read_ferplus(tmp_path / "nowhere")
        message = str(error.value)
        for part in (
            "nowhere",
            "does not exist",
            "FER2013Train",
            "fer2013new.csv",
            "Microsoft",
            "Kaggle",
            "paths.data",
        ):
            assert part in message

    def test_another_dataset_in_the_folder(self, tmp_path: Path) -> None:
        (tmp_path / "EmoLabel").mkdir()
        with pytest.raises(UserError, match=r"has none of its files\. It contains: EmoLabel"):
            read_ferplus(tmp_path)

    def test_file_instead_of_the_folder(self, tmp_path: Path) -> None:
        (tmp_path / "ferplus").write_text("zip")
        with pytest.raises(UserError, match="is not a folder"):
            read_ferplus(tmp_path / "ferplus")

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            (",0\n", "\n", r"label\.csv, line \d+: expected an image name, a box and 10 votes"),
            ('48)",', '48)",x', r"10 vote counts \(whole numbers\)"),
            ('48)",', '48)",-', "no negative number"),
            ('"(0', '"(0" x', "not a csv row"),
            ("fer0000001.png", "../../fer0000001.png", "points outside the dataset's folder"),
            ("fer0000001.png", "/etc/passwd", "points outside the dataset's folder"),
            ("fer0000001.png", "C:\\fer0000001.png", "points outside the dataset's folder"),
            ("fer0000005.png", "fer0000001.png", r"lists a file twice: fer0000001\.png on lines 2 and 6"),
            ("fer0000001.png", "fer9999999.png", r"1 of the 8 images .* FER2013Train/fer9999999\.png"),
        ],
    )
    def test_invalid_lists_name_file_and_line(self, tree: Path, old: str, new: str, message: str) -> None:
        edit(tree, old, new)
        with pytest.raises(UserError, match=message):
            read_ferplus(tree)

    def test_empty_list(self, tree: Path) -> None:
        (tree / "FER2013Train" / "label.csv").write_text("\n\n")
        with pytest.raises(UserError, match=r"label\.csv is empty"):
            read_ferplus(tree)

    def test_binary_list(self, tree: Path) -> None:
        (tree / "FER2013Train" / "label.csv").write_bytes(b"\xff\xd8\xff\xe0")
        with pytest.raises(UserError, match="not a text file"):
            read_ferplus(tree)

    def test_missing_images_are_counted(self, tree: Path) -> None:
        for file in (tree / "FER2013Train").glob("*.png"):
            file.unlink()
        with pytest.raises(UserError, match=r"8 of the 8 images .* and 3 more"):
            read_ferplus(tree)

    @pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="the superuser may read everything")
    def test_unreadable_list(self, tree: Path) -> None:
        path = tree / "FER2013Train" / "label.csv"
        path.chmod(0)
        with pytest.raises(UserError, match=r"Cannot read .*label\.csv"):
            read_ferplus(tree)
