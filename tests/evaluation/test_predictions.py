"""The table of predictions: validation, merging of batches, and its file."""

from __future__ import annotations

import csv
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.predictions import Predictions

NAMES = ("anger", "fear", "joy")


def table(n: int = 5, seed: int = 0, **changes: object) -> Predictions:
    rng = np.random.default_rng(seed)
    columns: dict[str, object] = {
        "index": np.arange(n) * 3,
        "path": [f"a, b/{i}.png" for i in range(n)],  # a comma: the file must quote
        "label": rng.integers(0, 3, n),
        "logits": rng.normal(scale=8, size=(n, 3)),
        "class_names": NAMES,
        "target": rng.dirichlet(np.ones(3), n),
        "votes": rng.integers(0, 9, (n, 4)),
        "vote_names": (*NAMES, "unknown"),
    }
    return Predictions(**{**columns, **changes})  # type: ignore[arg-type]


def same(a: Predictions, b: Predictions) -> None:
    assert (a.class_names, a.vote_names) == (b.class_names, b.vote_names)
    for name in ("index", "path", "label", "logits", "target", "votes"):
        left, right = getattr(a, name), getattr(b, name)
        assert (left is None) == (right is None), name
        if left is not None:
            np.testing.assert_array_equal(left, right, err_msg=name)


def rewrite(path: Path, row: int, column: str, value: str) -> None:
    """Change one cell; row 0 is the first below the header."""
    rows = list(csv.reader(path.open(newline="")))
    rows[row + 1][rows[0].index(column)] = value
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


class TestTable:
    def test_probabilities_match_pytorch_softmax(self) -> None:
        p = table(50)
        expected = torch.from_numpy(p.logits).double().softmax(1).numpy()
        np.testing.assert_allclose(p.probabilities, expected, atol=1e-12)
        assert p.probabilities.dtype == np.float64

    def test_probabilities_of_huge_logits_do_not_overflow(self) -> None:
        p = table(1, logits=[[3e4, -3e4, 0.0]])
        np.testing.assert_array_equal(p.probabilities, [[1.0, 0.0, 0.0]])

    def test_first_of_equal_logits_is_predicted(self) -> None:
        assert table(1, logits=[[1.0, 2.0, 2.0]]).pred.tolist() == [1]

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"label": [0, 1]}, r"`label` to be of shape \(5,\), but got \(2,\)"),
            ({"label": [0, 1, 2, 3, 0]}, r"`label` within \[-1, 2\], but got 0 to 3"),
            ({"logits": np.zeros((5, 2))}, r"`logits` to be of shape \(5, 3\)"),
            ({"logits": np.full((5, 3), np.nan)}, "`logits` to be finite, but row 0"),
            ({"target": np.full((5, 3), -0.5)}, "`target` to be at least 0"),
            ({"votes": np.full((5, 4), -1)}, "`votes` to be at least 0"),
            ({"votes": np.zeros((5, 3))}, r"`votes` to be of shape \(5, 4\)"),
            ({"votes": None}, "`votes` along with `vote_names`"),
            ({"class_names": ("a", "a", "b")}, "`class_names` to have no repeats"),
            ({"index": [0, 1, 2, 3, -2]}, "`index` to be at least -1"),
        ],
    )
    def test_invalid_columns_are_named(self, changes: dict[str, object], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            table(**changes)


class TestMerge:
    def test_batches_of_two_ranks_merge_into_the_original_table(self) -> None:
        whole = table(11)
        shuffled = np.random.default_rng(1).permutation(11)
        ranks = [whole.select(shuffled[:7]), whole.select(shuffled[5:])]  # two faces on both ranks
        same(Predictions.merge(ranks), whole)

    def test_padding_rows_are_dropped(self) -> None:
        whole = table(4)
        padded = Predictions([-1, -1], ["a", "b"], [0, 1], np.ones((2, 3)), NAMES, np.ones((2, 3)), np.ones((2, 4)),
                             whole.vote_names)  # fmt: skip
        same(Predictions.merge([padded, whole, padded]), whole)

    def test_first_of_repeated_rows_is_kept(self) -> None:
        first = table(3)
        again = table(3, logits=first.logits + 1)
        same(Predictions.merge([first, again]), first)

    def test_contradictory_parts_are_rejected(self) -> None:
        first = table(3)
        with pytest.raises(ValueError, match="two for index 0"):
            Predictions.merge([first, table(3, label=(first.label + 1) % 3)])
        with pytest.raises(ValueError, match="agree in class_names"):
            Predictions.merge([first, table(3, class_names=("fear", "anger", "joy"))])
        with pytest.raises(ValueError, match="to all have `target` or all lack it"):
            Predictions.merge([first, table(3, target=None)])
        with pytest.raises(ValueError, match="at least one table"):
            Predictions.merge([])


class TestFile:
    @pytest.mark.parametrize("soft", [True, False])
    def test_round_trip_is_bit_exact(self, tmp_path: Path, soft: bool) -> None:
        written = table(200) if soft else table(200, target=None, votes=None, vote_names=())
        written.to_csv(tmp_path / "predictions_test.csv")
        same(Predictions.from_csv(tmp_path / "predictions_test.csv", NAMES), written)

    def test_columns_match_the_documented_format(self, tmp_path: Path) -> None:
        table(2).to_csv(tmp_path / "p.csv")
        header = (tmp_path / "p.csv").read_text().splitlines()[0]
        assert header == (
            "index,path,label,pred,p_anger,p_fear,p_joy,logit_anger,logit_fear,logit_joy,"
            "t_anger,t_fear,t_joy,votes_anger,votes_fear,votes_joy,votes_unknown"
        )

    def test_empty_and_unlabelled_tables_are_valid(self, tmp_path: Path) -> None:
        for number, written in enumerate([table(0), table(3, label=[-1, -1, 0])]):
            written.to_csv(tmp_path / f"{number}.csv")
            same(Predictions.from_csv(tmp_path / f"{number}.csv"), written)

    def test_padding_rows_are_not_written(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"call Predictions\.merge"):
            table(2, index=[0, -1]).to_csv(tmp_path / "p.csv")
        assert not list(tmp_path.iterdir())

    def test_ten_thousand_rows_are_read_and_written_quickly(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(0)
        n, k = 10_000, 8
        big = Predictions(
            np.arange(n), [f"{i}.png" for i in range(n)], rng.integers(0, k, n), rng.normal(size=(n, k)),
            tuple("abcdefgh"), rng.dirichlet(np.ones(k), n),
        )  # fmt: skip
        start = time.process_time()
        big.to_csv(tmp_path / "p.csv")
        same(Predictions.from_csv(tmp_path / "p.csv"), big)
        assert time.process_time() - start < 3

    @pytest.mark.parametrize(
        ("row", "column", "value", "message"),
        [
            (2, "logit_fear", "nan", r"row 4, column logit_fear: got 'nan'; only finite numbers"),
            (2, "logit_fear", "", r"row 4, column logit_fear: got ''; only finite numbers"),
            (0, "label", "joy", r"row 2, column label: got 'joy'; only whole numbers"),
            (0, "label", "1.5", r"row 2, column label: got '1.5'; only whole numbers"),
            (1, "label", "3", r"row 3, column label: got 3; legal: -1 \(no label\) to 2"),
            (1, "index", "-1", r"row 3, column index: got -1"),
            (1, "index", "0", r"row 3, column index: got 0; each index may occur only once"),
            (3, "logit_joy", "99", r"row 5, column p_\*: .* not the softmax of the logits"),
            (3, "t_joy", "-0.1", r"row 5, column t_\*: .* a target is 0 or more"),
            (3, "votes_joy", "-1", r"row 5, column votes_\*: .* votes are 0 or more"),
        ],
    )
    def test_invalid_cell_is_named_by_row_and_column(
        self, tmp_path: Path, row: int, column: str, value: str, message: str
    ) -> None:
        table().to_csv(tmp_path / "p.csv")
        rewrite(tmp_path / "p.csv", row, column, value)
        with pytest.raises(UserError, match=message):
            Predictions.from_csv(tmp_path / "p.csv")

    def test_prediction_contradicting_its_logits_is_rejected(self, tmp_path: Path) -> None:
        written = table()
        written.to_csv(tmp_path / "p.csv")
        rewrite(tmp_path / "p.csv", 0, "pred", str((written.pred[0] + 1) % 3))
        with pytest.raises(UserError, match="not the class of the largest logit"):
            Predictions.from_csv(tmp_path / "p.csv")

    def test_different_class_order_is_never_mapped_silently(self, tmp_path: Path) -> None:
        table().to_csv(tmp_path / "p.csv")
        with pytest.raises(UserError, match="class order anger, fear, joy, but fear, anger, joy was requested"):
            Predictions.from_csv(tmp_path / "p.csv", ("fear", "anger", "joy"))
        text = (tmp_path / "p.csv").read_text()
        (tmp_path / "p.csv").write_text(text.replace("logit_anger,logit_fear", "logit_fear,logit_anger"))
        with pytest.raises(UserError, match="same classes in the same order"):
            Predictions.from_csv(tmp_path / "p.csv")

    def test_invalid_files_raise_one_clear_error(self, tmp_path: Path) -> None:
        path = tmp_path / "p.csv"
        with pytest.raises(UserError, match=r"No predictions at .*p.csv"):
            Predictions.from_csv(path)
        path.write_text("")
        with pytest.raises(UserError, match="empty"):
            Predictions.from_csv(path)
        path.write_text("name,score\nx,1\n")
        with pytest.raises(UserError, match="no column index, path, label, pred, logit_<class>"):
            Predictions.from_csv(path)
        table().to_csv(path)
        path.write_text(path.read_text().replace(",t_fear,", ",t_other,", 1))
        with pytest.raises(UserError, match="no column t_fear"):
            Predictions.from_csv(path)
        table().to_csv(path)
        path.write_text(path.read_text().replace(",t_fear,", ",t_joy,", 1))
        with pytest.raises(UserError, match="t_joy occurs more than once"):
            Predictions.from_csv(path)

    def test_truncated_file_is_rejected(self, tmp_path: Path) -> None:
        path = tmp_path / "p.csv"
        table().to_csv(path)
        path.write_text(path.read_text()[:-20])
        with pytest.raises(UserError, match=r"row 6: .* columns, but the header has"):
            Predictions.from_csv(path)
