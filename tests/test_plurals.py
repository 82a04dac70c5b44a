"""A number and its noun agree."""

import pytest

from mfer_lightning.plurals import counted


@pytest.mark.parametrize(
    ("number", "one", "expected"),
    [
        (0, "face", "0 faces"),
        (1, "class", "1 class"),
        (2, "class", "2 classes"),
        (1000, "training face", "1,000 training faces"),
        (2, "copy", "2 copies"),
        (2, "key", "2 keys"),
        (3, "batch", "3 batches"),
        (2, "box", "2 boxes"),
    ],
)
def test_regular_nouns(number: int, one: str, expected: str) -> None:
    assert counted(number, one) == expected


def test_a_verb_agrees_with_its_number() -> None:
    assert [counted(n, "image was", "images were") for n in (0, 1, 2)] == [
        "0 images were",
        "1 image was",
        "2 images were",
    ]
