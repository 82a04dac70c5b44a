"""Compressed tables of predictions: used if there is no plain one, and rejected if they are malicious."""

from __future__ import annotations

import lzma
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from mfer_lightning.errors import UserError
from mfer_lightning.evaluation import predictions_csv
from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.evaluation.predictions_csv import find_table, plain_or_compressed

read_predictions = Predictions.from_csv
NAMES = ("anger", "fear", "joy")


def table(seed: int = 0, n: int = 40) -> Predictions:
    rng = np.random.default_rng(seed)
    return Predictions(
        index=np.arange(n),
        path=[f"a, b/ü{i}.png" for i in range(n)],
        label=rng.integers(0, 3, n),
        logits=rng.normal(scale=4, size=(n, 3)),
        class_names=NAMES,
        target=rng.dirichlet(np.ones(3), n),
        votes=rng.integers(0, 9, (n, 3)),
        vote_names=NAMES,
    )


def pack(text: str) -> bytes:
    return lzma.compress(text.encode())


def same(a: Predictions, b: Predictions) -> None:
    assert (a.class_names, a.vote_names) == (b.class_names, b.vote_names)
    for name in ("index", "path", "label", "logits", "target", "votes"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A compressed table with all columns."""
    path = tmp_path / "predictions_test.csv.xz"
    path.write_bytes(pack(table().csv_text()))
    return path


class TestFinding:
    def test_plain_table_takes_precedence_over_the_compressed_one(self, file: Path) -> None:
        plain = file.with_suffix("")
        assert find_table(file.parent, "val") is None
        assert find_table(file.parent, "test") == plain_or_compressed(plain) == file
        same(read_predictions(plain), table())
        table(seed=1).to_csv(plain)
        assert find_table(file.parent, "test") == plain_or_compressed(plain) == plain
        same(read_predictions(plain), table(seed=1))
        same(read_predictions(file), table())  # read if given explicitly

    def test_missing_table_error_names_the_requested_file(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"No predictions at .*predictions_test\.csv\. "):
            read_predictions(tmp_path / "predictions_test.csv")


class TestReading:
    def test_class_order_is_read_from_logit_columns_without_probabilities(self, file: Path) -> None:
        text = table().csv_text(probabilities=False)
        assert not [name for name in text.splitlines()[0].split(",") if name.startswith("p_")]
        file.write_bytes(pack(text))
        same(read_predictions(file, NAMES), table())
        with pytest.raises(UserError, match="class order anger, fear, joy, but joy, fear, anger was requested"):
            read_predictions(file, NAMES[::-1])

    def test_compressed_table_is_checked_like_a_plain_one(self, file: Path) -> None:
        lines = table().csv_text(probabilities=False).splitlines()
        cells = lines[1].split(",")
        cells[4] = str((table().pred[0] + 1) % 3)  # the path has a comma
        file.write_bytes(pack("\n".join([lines[0], ",".join(cells), *lines[2:]])))
        with pytest.raises(UserError, match=r"row 2, column pred.*not the class of the largest logit"):
            read_predictions(file)
        file.write_bytes(pack("\n".join([lines[0], lines[1][:-2]])))
        with pytest.raises(UserError, match=r"csv\.xz, row 2: .* columns, but the header has"):
            read_predictions(file)
        file.write_bytes(pack(""))
        with pytest.raises(UserError, match="empty"):
            read_predictions(file)

    @pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.98])
    def test_truncated_file_is_rejected(self, file: Path, share: float) -> None:
        whole = file.read_bytes()
        file.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(UserError, match=r"Cannot read the predictions .*csv\.xz: .*truncated"):
            read_predictions(file)

    def test_corrupted_files_other_formats_and_trailing_data_are_rejected(self, file: Path) -> None:
        whole = file.read_bytes()
        middle = len(whole) // 2
        damaged = whole[:middle] + bytes(b ^ 0xFF for b in whole[middle : middle + 8]) + whole[middle + 8 :]
        text = table().csv_text()
        for content in (damaged, text.encode(), b"PK\x03\x04" + whole, whole + b"more", whole + whole):
            file.write_bytes(content)
            with pytest.raises(UserError, match="Cannot read the predictions"):
                read_predictions(file)

    def test_decompression_bomb_is_rejected(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        most = 3_000_000
        monkeypatch.setattr(predictions_csv, "MOST_BYTES", most)
        header = table().csv_text().splitlines()[0]
        whole = header.encode() + b"\n" * (20 * most)
        file.write_bytes(lzma.compress(whole))
        assert file.stat().st_size < most / 100
        tracemalloc.start()
        with pytest.raises(UserError, match=r"unpack to more than 3\.0 MB.*unxz"):
            read_predictions(file)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < len(whole) / 4  # mostly the window of the decompressor

    def test_header_with_a_million_columns_is_rejected(self, file: Path) -> None:
        file.write_bytes(lzma.compress(b"," * 1_000_000))
        with pytest.raises(UserError, match="occurs more than once"):
            read_predictions(file)

    def test_excessive_decompression_memory_is_rejected(self, file: Path) -> None:
        greedy = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 256 * 2**20}]
        file.write_bytes(lzma.compress(table().csv_text().encode(), filters=greedy))
        with pytest.raises(UserError, match=r"Cannot read the predictions .*[Mm]emory"):
            read_predictions(file)
