from __future__ import annotations

import itertools

import numpy as np
import pytest

from mfer_lightning.data.samplers import EvalSampler, TrainSampler, class_weights

LABEL = np.repeat(np.arange(3), [70, 20, 10])


def batches(sampler: TrainSampler, size: int) -> list[list[int]]:
    positions = [position for _, position in sampler]
    return [positions[i : i + size] for i in range(0, len(positions) - size + 1, size)]


@pytest.mark.parametrize("mode", ["shuffle", "balanced", "sqrt"])
@pytest.mark.parametrize("ranks", [2, 3, 4])
@pytest.mark.parametrize("n", [100, 97])
def test_rank_batches_form_the_single_rank_batch(mode: str, ranks: int, n: int) -> None:
    def sampler(ranks: int, rank: int) -> TrainSampler:
        s = TrainSampler(LABEL[:n], mode, seed=3, num_replicas=ranks, rank=rank)
        s.set_epoch(2)
        return s

    one = batches(sampler(1, 0), 12)
    parts = [batches(sampler(ranks, rank), 12 // ranks) for rank in range(ranks)]
    assert len({len(part) for part in parts}) == 1
    assert len(parts[0]) == len(one)
    for k, batch in enumerate(one):
        together = itertools.chain.from_iterable(zip(*(part[k] for part in parts), strict=True))
        assert list(together) == batch


def test_shuffle_visits_every_face_once_in_a_new_order_each_epoch() -> None:
    sampler = TrainSampler(LABEL, seed=1)
    orders = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        keys = list(sampler)
        assert {e for e, _ in keys} == {epoch}
        assert sorted(p for _, p in keys) == list(range(100))
        orders.append(keys)
    assert [p for _, p in orders[0]] != [p for _, p in orders[1]]
    sampler.set_epoch(1)
    assert list(sampler) == orders[1]
    other = TrainSampler(LABEL, seed=2)
    assert [p for _, p in other] != [p for _, p in orders[0]]


def test_order_is_pinned() -> None:
    """The order is fixed: results must not change with the version of NumPy or torch."""
    sampler = TrainSampler(np.zeros(8, dtype=np.int64), seed=0)
    assert [p for _, p in sampler] == PINNED


@pytest.mark.parametrize(("mode", "shares"), [("balanced", [1, 1, 1]), ("sqrt", [70**0.5, 20**0.5, 10**0.5])])
def test_classes_are_sampled_at_the_expected_frequencies(mode: str, shares: list[float]) -> None:
    expected = 100 * np.array(shares) / sum(shares)
    sampler = TrainSampler(LABEL, mode, seed=0)
    draws = []
    for epoch in range(20):
        sampler.set_epoch(epoch)
        drawn = [p for _, p in sampler]
        draws.append(drawn)
        assert len(drawn) == 100
        counts = np.bincount(LABEL[drawn], minlength=3)
        assert np.abs(counts - expected).max() < 12
    visits = np.bincount(np.concatenate(draws), minlength=100)
    assert (visits > 0).all()  # every face is drawn at least once in the 20 epochs
    mean = np.bincount(LABEL, weights=visits) / 20
    np.testing.assert_allclose(mean, expected, rtol=0.1)
    assert len({tuple(d) for d in draws}) == 20


def test_class_weights_ignore_labels_that_do_not_occur() -> None:
    np.testing.assert_allclose(class_weights(np.array([0, 5, 5, 5, 5]), "sqrt")[0] * 4, 2 * 4 / 3 / 2, rtol=1e-9)


@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 2, 7, 12])
def test_evaluation_yields_each_face_exactly_once(ranks: int, size: int) -> None:
    per_rank = [list(EvalSampler(size, ranks, rank)) for rank in range(ranks)]
    assert len({len(keys) for keys in per_rank}) == 1
    positions = [p for keys in per_rank for _, p in keys]
    assert sorted(p for p in positions if p >= 0) == list(range(size))
    assert sum(p < 0 for p in positions) == -size % ranks


def test_invalid_arguments_raise_value_error() -> None:
    with pytest.raises(ValueError, match="argument `mode`"):
        TrainSampler(LABEL, "even")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="argument `rank`"):
        EvalSampler(4, num_replicas=2, rank=2)


PINNED = [0, 5, 7, 4, 3, 6, 2, 1]
