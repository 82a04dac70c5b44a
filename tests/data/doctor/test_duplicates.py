"""Duplicates are found in less than quadratic time; another class order is suggested only with clear evidence."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest
from data.trees import picture

from mfer_lightning.data.datasets.registry import get_protocol
from mfer_lightning.data.doctor.class_order import suspect_order
from mfer_lightning.data.doctor.duplicates import find_duplicates
from mfer_lightning.data.doctor.scan import Scan, describe, scan
from mfer_lightning.errors import UserError


class Pictures:
    """An image source over arrays; None is an unreadable file."""

    def __init__(self, images: list) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def read(self, row: int) -> np.ndarray:
        if self.images[row] is None:
            raise UserError(f"{row} is broken")
        return self.images[row]

    def fingerprint(self, rows: np.ndarray) -> str:
        return ""

    def name(self, row: int) -> str:
        return str(row)


def look(images: list) -> Scan:
    return scan(Pictures(images), np.arange(len(images)))


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [picture(rng, 64) for _ in range(40)]


def found(images: list) -> dict[tuple[int, int], bool]:
    pairs = find_duplicates(look(images))
    return {(int(a), int(b)): bool(e) for a, b, e in zip(pairs.first, pairs.second, pairs.exact, strict=True)}


def test_different_images_are_not_duplicates(pictures: list[np.ndarray]) -> None:
    assert found(pictures) == {}


def test_identical_pixels_are_exact_duplicates(pictures: list[np.ndarray]) -> None:
    assert found([*pictures, pictures[7].copy(), pictures[7].copy()]) == {(7, 40): True, (7, 41): True, (40, 41): True}


@pytest.mark.parametrize(
    "change",
    [
        lambda x: cv2.resize(x, (48, 48), interpolation=cv2.INTER_AREA),
        lambda x: cv2.imdecode(cv2.imencode(".jpg", x, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], cv2.IMREAD_COLOR),
        lambda x: (x * 0.9 + 10).astype(np.uint8),
        lambda x: np.repeat(cv2.cvtColor(x, cv2.COLOR_RGB2GRAY)[:, :, None], 3, axis=2),
    ],
    ids=["resized", "compressed", "brighter", "grey"],
)
def test_slightly_changed_copies_are_near_duplicates(change: object, pictures: list[np.ndarray]) -> None:
    copies = [change(x) for x in pictures[:10]]  # type: ignore[operator]
    pairs = found([*pictures, *copies])
    assert sum((i, 40 + i) in pairs for i in range(10)) >= 9
    assert not any(pairs.values())
    assert all(b - a == 40 for a, b in pairs)


def test_flat_images_are_duplicates_only_if_identical() -> None:
    flat = [np.full((32, 32, 3), v, dtype=np.uint8) for v in (0, 0, 80, 255)]
    assert found(flat) == {(0, 1): True}


def test_unreadable_image_is_reported_and_the_others_are_checked(pictures: list[np.ndarray]) -> None:
    looked = look([pictures[0], None, pictures[1]])
    assert looked.rows.tolist() == [0, 2]
    assert looked.unreadable == {1: "1 is broken"}
    assert len(find_duplicates(look([None, None]))) == 0


def test_image_properties_are_reported_correctly(pictures: list[np.ndarray]) -> None:
    size, mean, std, grey, *_ = describe(pictures[0])
    assert size == (64, 64)
    np.testing.assert_allclose(mean, pictures[0].reshape(-1, 3).mean(0))
    assert not grey
    assert std > 0
    assert describe(np.full((9, 5, 3), 7, dtype=np.uint8))[:1] == ((9, 5),)
    assert describe(np.full((9, 5, 3), 7, dtype=np.uint8))[3]


def test_hundred_thousand_images_take_seconds() -> None:
    n = 100_000
    rng = np.random.default_rng(0)
    looked = Scan(
        rows=np.arange(n),
        size=np.full((n, 2), 48),
        mean=np.zeros((n, 3), dtype=np.float32),
        std=np.full(n, 50, dtype=np.float32),
        grey=np.zeros(n, dtype=bool),
        exact=rng.integers(0, 2**63, n, dtype=np.uint64),
        perceptual=rng.integers(0, 2**64 - 1, n, dtype=np.uint64),
        thumbnail=rng.integers(0, 256, (n, 16, 16), dtype=np.uint8),
        unreadable={},
    )
    looked.perceptual[1::1000] = looked.perceptual[::1000]
    looked.thumbnail[1::1000] = looked.thumbnail[::1000]
    start = time.perf_counter()
    pairs = find_duplicates(looked)
    assert time.perf_counter() - start < 30
    assert len(pairs) == 100


def test_swapped_class_counts_suggest_another_order() -> None:
    train = next(e.count for e in get_protocol("rafdb").expected if e.partition == "train")
    assert not isinstance(train, int)
    assert suspect_order(train, train) is None
    assert suspect_order([round(0.97 * c) for c in train], train) is None
    swapped = list(train)
    swapped[0], swapped[3] = swapped[3], swapped[0]
    assert suspect_order(swapped, train) == [3, 1, 2, 0, 4, 5, 6]
    assert suspect_order([1, 2, 3], [3, 2, 1]) is None  # too few faces for a conclusion
