from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from mfer_lightning.data.datasets.ferplus import VOTE_NAMES, read_ferplus
from mfer_lightning.data.targets import VOTE_RULES, targets_from_labels, targets_from_votes

CLASSES = VOTE_NAMES[:8]


def reference(votes: list[int], rule: str) -> list[float] | None:
    """The rules from their description, for one face, with plain loops; None if the face is dropped."""
    left = [float(v) if v > 1 else 0.0 for v in votes]
    total = sum(left)
    taken = [0.0] * 10
    if rule == "majority":
        best = max(range(10), key=lambda i: left[i])
        return [1.0 if i == best else 0.0 for i in range(8)] if left[best] > total / 2 and best < 8 else None
    if rule == "multi":
        taken = [v if v > 0 and v >= 0.3 * total else 0.0 for v in left]
        if max(taken) == 0 or taken.index(max(taken)) >= 8:
            return None
    else:
        while total > 0 and sum(taken) < 0.75 * total and max(left) > 0:
            level = [i for i in range(10) if left[i] == max(left)]
            for i in level:
                left[i], taken[i] = 0.0, left[i] if i < 8 else 0.0
            if any(i >= 8 for i in level):
                break
    if sum(taken) <= 0.5 * total or sum(v > 0 for v in taken) > 3:
        return None
    if rule == "multi":
        return [float(v > 0) for v in taken[:8]]
    return [v / sum(taken) for v in taken[:8]]


def apply(row: list[int], rule: str) -> list[float] | None:
    result = targets_from_votes(np.array([row]), VOTE_NAMES, CLASSES, rule)
    return [round(float(v), 4) for v in result.target[0]] if result.keep[0] else None


#                ne ha su sa an di fe co un NF
CASES = {
    "clear winner": [8, 2, 0, 0, 0, 0, 0, 0, 0, 0],
    "single votes are removed before shares are taken": [5, 1, 1, 1, 1, 1, 0, 0, 0, 0],
    "exactly half is not a majority": [5, 0, 0, 3, 2, 0, 0, 0, 0, 0],
    "votes for unknown count against a majority": [5, 0, 0, 0, 0, 0, 0, 0, 5, 0],
    "unknown wins": [2, 0, 0, 0, 0, 0, 0, 0, 8, 0],
    "NF wins": [2, 0, 0, 0, 0, 0, 0, 0, 0, 8],
    "unknown comes second and ends the selection": [6, 0, 0, 0, 0, 0, 0, 0, 4, 0],
    "unknown comes second and less than half is selected": [4, 0, 0, 2, 2, 0, 0, 0, 3, 0],
    "two tied classes are selected together": [4, 4, 2, 0, 0, 0, 0, 0, 0, 0],
    "tied classes complete three quarters": [6, 0, 2, 2, 0, 0, 0, 0, 0, 0],
    "ties after the first lead to more than three": [4, 2, 2, 2, 0, 0, 0, 0, 0, 0],
    "four tied classes are too many": [2, 2, 2, 2, 2, 0, 0, 0, 0, 0],
    "three tied classes above thirty percent": [3, 3, 3, 1, 0, 0, 0, 0, 0, 0],
    "just below thirty percent": [5, 0, 0, 0, 0, 2, 0, 0, 0, 0],
    "no vote survives": [1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
    "no vote at all": [0] * 10,
}


@pytest.mark.parametrize("rule", ["majority", "crossentropy", "probability", "multi"])
@pytest.mark.parametrize("row", CASES.values(), ids=CASES.keys())
def test_every_branch_matches_the_reference(row: list[int], rule: str) -> None:
    expected = reference(row, rule)
    found = apply(row, rule)
    if expected is None:
        assert found is None
    else:
        assert found == pytest.approx(expected, abs=1e-4)


def test_branches_match_values_computed_by_hand() -> None:
    """Computed by hand from the published description, so that code and reference cannot share a mistake."""
    named = {name: {rule: apply(row, rule) for rule in VOTE_RULES} for name, row in CASES.items()}
    assert named["clear winner"]["crossentropy"] == [1, 0, 0, 0, 0, 0, 0, 0]  # 8 of 10 already cover 75%
    assert named["clear winner"]["multi"] == [1, 0, 0, 0, 0, 0, 0, 0]
    assert named["single votes are removed before shares are taken"]["majority"] == [1, 0, 0, 0, 0, 0, 0, 0]
    assert named["exactly half is not a majority"]["majority"] is None
    assert named["exactly half is not a majority"]["crossentropy"] == [0.625, 0, 0, 0.375, 0, 0, 0, 0]
    assert named["exactly half is not a majority"]["multi"] == [1, 0, 0, 1, 0, 0, 0, 0]
    assert named["votes for unknown count against a majority"]["majority"] is None
    assert named["votes for unknown count against a majority"]["crossentropy"] is None
    assert named["unknown wins"]["argmax"] == [1, 0, 0, 0, 0, 0, 0, 0]  # argmax considers only the classes
    assert named["unknown comes second and ends the selection"]["crossentropy"] == [1, 0, 0, 0, 0, 0, 0, 0]
    assert named["unknown comes second and less than half is selected"]["crossentropy"] is None
    assert named["two tied classes are selected together"]["crossentropy"] == [0.5, 0.5, 0, 0, 0, 0, 0, 0]
    assert named["tied classes complete three quarters"]["crossentropy"] == [0.6, 0, 0.2, 0.2, 0, 0, 0, 0]
    assert named["ties after the first lead to more than three"]["crossentropy"] is None
    assert named["three tied classes above thirty percent"]["multi"] == [1, 1, 1, 0, 0, 0, 0, 0]
    assert named["no vote survives"]["votes"] == [0.125] * 8
    assert named["no vote at all"]["votes"] is None


@pytest.mark.parametrize("rule", ["majority", "crossentropy", "multi"])
def test_random_votes_match_the_reference(rule: str) -> None:
    rng = np.random.default_rng(0)
    votes = rng.multinomial(10, rng.dirichlet(np.full(10, 0.4), 400))
    result = targets_from_votes(votes, VOTE_NAMES, CLASSES, rule)
    for i, row in enumerate(votes.tolist()):
        expected = reference(row, rule)
        assert result.keep[i] == (expected is not None)
        np.testing.assert_allclose(result.target[i], expected or np.zeros(8), atol=1e-6)
    assert 0 < result.keep.sum() < 400


def test_labels_follow_from_targets() -> None:
    votes = np.random.default_rng(1).multinomial(10, np.full(10, 0.1), 100)
    for rule in VOTE_RULES:
        result = targets_from_votes(votes, VOTE_NAMES, CLASSES, rule)
        assert result.target.dtype == np.float32
        assert result.label.dtype == np.int64
        assert (result.label[~result.keep] == -1).all()
        assert (result.target[~result.keep] == 0).all()
        assert (result.target[np.flatnonzero(result.keep), result.label[result.keep]] > 0).all()
        if rule != "multi":
            np.testing.assert_allclose(result.target[result.keep].sum(axis=1), 1, atol=1e-6)


def test_columns_are_found_by_name() -> None:
    votes = np.array([[2, 8, 0]])
    result = targets_from_votes(votes, ["unknown", "anger", "neutral"], ["neutral", "anger"], "majority")
    assert result.label.tolist() == [1]


@pytest.mark.parametrize(
    ("votes", "names", "rule", "message"),
    [
        ([[1, 2]], ["neutral", "anger"], "mean", "argument `rule`"),
        ([[1, 2]], ["neutral"], "argmax", "of shape"),
        ([[1, -2]], ["neutral", "anger"], "argmax", "negative"),
        ([[1, 2]], ["neutral", "fear"], "argmax", "include every class"),
    ],
)
def test_invalid_arguments_raise_value_error(votes: list[list[int]], names: list[str], rule: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        targets_from_votes(np.array(votes), names, ["neutral", "anger"], rule)


def test_labels_become_one_hot() -> None:
    result = targets_from_labels(np.array([2, -1, 0]), 3)
    assert result.target.tolist() == [[0, 0, 1], [0, 0, 0], [1, 0, 0]]
    assert result.keep.tolist() == [True, False, True]


def real_ferplus() -> Path | None:
    for base in (os.environ.get("MFER_DATA"), Path(__file__).parents[2] / "data"):
        if base and (Path(base) / "ferplus" / "FER2013Train" / "label.csv").is_file():
            return Path(base) / "ferplus"
    return None


#: Train, validation and test faces by rule, of the label.csv folders with all images present.
PUBLISHED = {
    "majority": (25045, 3191, 3137),
    "crossentropy": (27947, 3508, 3507),
    "probability": (27947, 3508, 3507),
    "multi": (27667, 3472, 3466),
    "argmax": (28558, 3579, 3573),
}


def test_real_dataset_gives_the_published_counts() -> None:
    root = real_ferplus()
    if root is None:
        pytest.skip("FERPlus is not on this machine (MFER_DATA/ferplus or data/ferplus)")
    index = read_ferplus(root)
    for rule, counts in PUBLISHED.items():
        keep = targets_from_votes(index.votes, index.vote_names, index.class_names, rule).keep
        for partition, count in zip(("train", "val", "test"), counts, strict=True):
            here = index.partition == partition
            if here.any():
                assert int((keep & here).sum()) == count, (rule, partition)


def test_csv_pair_gives_the_same_counts(tmp_path: Path) -> None:
    """The published pair disagrees with the folders on 1,602 images; the rules themselves must not."""
    root = real_ferplus()
    if root is None:
        pytest.skip("FERPlus is not on this machine (MFER_DATA/ferplus or data/ferplus)")
    folders = read_ferplus(root)
    usage = {"train": "Training", "val": "PublicTest", "test": "PrivateTest"}
    old, new = ["emotion,pixels,Usage"], ["Usage,Image name," + ",".join(folders.vote_names)]
    for partition, path, votes in zip(folders.partition, folders.path, folders.votes.tolist(), strict=True):
        old.append(f"0,0,{usage[partition]}")
        new.append(f"{usage[partition]},{path.split('/')[-1]}," + ",".join(map(str, votes)))
    (tmp_path / "fer2013.csv").write_text("\n".join(old) + "\n")
    (tmp_path / "fer2013new.csv").write_text("\n".join(new) + "\n")
    pair = read_ferplus(tmp_path)
    assert "fer2013new.csv" in pair.layout or "pair" in pair.layout
    for rule, counts in PUBLISHED.items():
        keep = targets_from_votes(pair.votes, pair.vote_names, pair.class_names, rule).keep
        for partition, count in zip(("train", "val"), counts, strict=False):
            assert int((keep & (pair.partition == partition)).sum()) == count, (rule, partition)
