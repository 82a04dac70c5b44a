"""Folds by subject: deterministic, every subject tested once, never in two splits of a run."""

from __future__ import annotations

import numpy as np
import pytest

from mfer_lightning.data.folds import split_by_subject
from mfer_lightning.data.protocols import Protocol
from mfer_lightning.errors import UserError

GROUP = np.repeat(np.arange(118), 9)[::-1].copy()  # as many subjects as in the labelled part of CK+, descending
TEN = Protocol("mine@kfold10", ("a", "b"), folds=10)
EACH = Protocol("mine@loso", ("a", "b"), folds="loso")


def test_sorted_subjects_are_assigned_to_folds_in_turn() -> None:
    for fold in range(10):
        test, _ = split_by_subject(GROUP, TEN.at_fold(fold))
        assert np.unique(GROUP[test]).tolist() == list(range(fold, 118, 10))


@pytest.mark.parametrize(("protocol", "folds", "held"), [(TEN, 10, 1), (EACH, 118, 12)])
def test_every_face_is_tested_once_and_splits_share_no_subjects(protocol: Protocol, folds: int, held: int) -> None:
    tested = np.zeros(len(GROUP), dtype=int)
    for fold in range(folds):
        test, val = split_by_subject(GROUP, protocol.at_fold(fold))
        tested += test
        parts = [set(GROUP[mask].tolist()) for mask in (test, val, ~test & ~val)]
        assert all(parts)
        assert sum(map(len, parts)) == len(set.union(*parts)) == 118
        subjects = sorted((s - fold) % folds for s in parts[1])
        assert {s % folds for s in subjects} == set(range(1, held + 1))
    assert (tested == 1).all()


def test_invalid_fold_error_lists_the_valid_folds() -> None:
    with pytest.raises(UserError, match=r"dataset.fold=10 is not one of the folds of mine@kfold10: use 0 to 9"):
        TEN.at_fold(10)
    with pytest.raises(UserError, match=r"dataset.fold=0: mine@native has no folds"):
        Protocol("mine@native", ("a", "b")).at_fold(0)
    with pytest.raises(UserError, match=r"dataset.fold=118 is not one of the 118 folds"):
        split_by_subject(GROUP, EACH.at_fold(118))
    with pytest.raises(UserError, match="needs at least 10 subjects"):
        split_by_subject(GROUP[:60], TEN)


def test_fold_describes_itself() -> None:
    assert TEN.at_fold(3).describe("test") == "fold 3 of 10"
    assert TEN.at_fold(3).describe("val") == "the next tenth of the subjects (fold 3 of 10 is tested)"
    assert EACH.at_fold(3).describe("test") == "subject 3, left out"
    assert EACH.at_fold(3).describe("train") == "all other subjects (subject 3 is tested)"
    assert not TEN.marked
    assert not Protocol("mine@photo", ("a", "b"), test="holdout").marked
