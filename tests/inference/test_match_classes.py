"""Classes of a model and a dataset are matched by name; no class is dropped silently."""

from __future__ import annotations

import pytest
from class_orders import CLASS_ORDERS

from mfer_lightning.errors import UserError
from mfer_lightning.inference.match_classes import match_classes


def test_reordered_classes_are_permuted() -> None:
    match = match_classes(CLASS_ORDERS["affectnet7"], CLASS_ORDERS["rafdb"])
    assert match.names == CLASS_ORDERS["rafdb"]
    assert [CLASS_ORDERS["affectnet7"][c] for c in match.columns] == list(CLASS_ORDERS["rafdb"])
    assert match.to_common.tolist() == list(range(7))
    assert match.mark == ""


def test_eight_class_model_needs_drop_contempt_for_seven_classes() -> None:
    with pytest.raises(UserError, match=r"only the model has contempt.*drop=\[contempt\]"):
        match_classes(CLASS_ORDERS["ferplus"], CLASS_ORDERS["rafdb"])
    match = match_classes(CLASS_ORDERS["ferplus"], CLASS_ORDERS["rafdb"], ["Contempt"])
    assert [CLASS_ORDERS["ferplus"][c] for c in match.columns] == list(CLASS_ORDERS["rafdb"])
    assert match.mark == "-without-contempt"


def test_faces_unknown_to_a_seven_class_model_are_dropped_only_on_request() -> None:
    with pytest.raises(UserError, match="only the dataset has contempt"):
        match_classes(CLASS_ORDERS["affectnet7"], CLASS_ORDERS["affectnet8"])
    match = match_classes(CLASS_ORDERS["affectnet7"], CLASS_ORDERS["affectnet8"], ["contempt"])
    assert match.to_common.tolist() == [0, 1, 2, 3, 4, 5, 6, -1]


def test_seven_class_view_of_an_eight_class_model_drops_logit_and_faces() -> None:
    match = match_classes(CLASS_ORDERS["affectnet8"], CLASS_ORDERS["affectnet8"], ["contempt"])
    assert match.names == CLASS_ORDERS["affectnet7"]
    assert 7 not in match.columns


@pytest.mark.parametrize(
    ("drop", "message"),
    [(["contmept"], "neither the model nor the dataset has this class"), (["anger"], "at least two are needed")],
)
def test_invalid_drop_is_rejected(drop: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        match_classes(["anger", "fear"], ["fear", "anger"], drop)
