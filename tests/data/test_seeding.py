from __future__ import annotations

import numpy as np

from mfer_lightning.data.seeding import hashes, name_order, uniforms

MASK = 2**64 - 1


def splitmix(x: int) -> int:
    """The finalizer of SplitMix64 as published, with Python integers."""
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def reference(seed: int, epoch: int, row: int, stream: int) -> int:
    state = 0
    for part in (seed, stream, epoch, row):
        state = splitmix(((state ^ (part & MASK)) + 0x9E3779B97F4A7C15) & MASK)
    return state


def test_hashes_match_the_published_mixer() -> None:
    epoch, row = np.array([0, 0, 3, 9]), np.array([0, 1, 2**40, -1])
    for seed in (0, 1, -5, 2**62):
        found = hashes(seed, epoch, row, 2).tolist()
        assert found == [reference(seed, int(e), int(r), 2) for e, r in zip(epoch, row, strict=True)]


def test_numbers_are_uniform_and_uncorrelated_in_every_coordinate() -> None:
    rows = np.arange(4000)
    base = uniforms(0, 0, rows)
    assert base.min() >= 0
    assert base.max() < 1
    assert np.abs(np.histogram(base, 10, (0, 1))[0] - 400).max() < 80
    for other in (uniforms(1, 0, rows), uniforms(0, 1, rows), uniforms(0, 0, rows + 1), uniforms(0, 0, rows, 1)):
        assert abs(np.corrcoef(base, other)[0, 1]) < 0.06


def test_numbers_do_not_depend_on_batch_or_order() -> None:
    rows = np.array([5, 3, 9])
    together = uniforms(7, np.array([1, 1, 2]), rows)
    assert together[2] == uniforms(7, 2, np.array([9]))[0]
    assert (uniforms(7, 1, rows[::-1])[::-1][:2] == together[:2]).all()


def test_name_order_is_a_permutation_determined_by_the_names() -> None:
    names = [f"{i}.png" for i in range(50)]
    order = name_order(names, 0)
    assert sorted(order.tolist()) == list(range(50))
    assert [names[i] for i in order] == [names[::-1][i] for i in name_order(names[::-1], 0)]
    assert name_order(names, 1).tolist() != order.tolist()
