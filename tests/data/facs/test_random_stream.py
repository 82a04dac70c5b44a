"""Random streams that can be recreated anywhere."""

from __future__ import annotations

import numpy as np
import pytest

from mfer_lightning.data.facs.random_stream import Stream, generator


def test_streams_are_reproducible_and_differ_by_seed_purpose_and_index():
    base = generator(1, 2, 3).random(50)
    np.testing.assert_array_equal(base, generator(1, 2, 3).random(50))
    for other in ((2, 2, 3), (1, 3, 3), (1, 2, 4), (2**63, 2, 3)):
        assert abs(np.corrcoef(base, generator(*other).random(50))[0, 1]) < 0.5
        assert not np.intersect1d(base, generator(*other).random(50)).size


def test_neighbouring_streams_do_not_overlap():
    first = generator(0, 1, 0).random(100_000)
    assert not np.isin(generator(0, 1, 1).random(100), first).any()


def test_draws_follow_their_distributions():
    stream = Stream(0, 0, 0)
    normal = np.array([stream.normal(9.0) for _ in range(20_000)])
    assert normal.mean() == pytest.approx(0.0, abs=0.03)
    assert normal.std() == pytest.approx(1.0, abs=0.02)
    assert max(abs(stream.normal(1.5)) for _ in range(2000)) == 1.5
    uniform = np.array([stream.uniform(-2, 3) for _ in range(20_000)])
    assert -2 <= uniform.min() < -1.99 < 2.99 < uniform.max() < 3
    assert np.mean([stream.chance(0.2) for _ in range(20_000)]) == pytest.approx(0.2, abs=0.01)


def test_choices_follow_their_weights_and_never_have_zero_weight():
    stream = Stream(0, 0, 1)
    picks = [stream.pick("abc", (1.0, 0.0, 3.0)) for _ in range(8000)]
    assert picks.count("b") == 0
    assert picks.count("c") / 8000 == pytest.approx(0.75, abs=0.02)
    even = [stream.pick("ab") for _ in range(8000)]
    assert even.count("a") / 8000 == pytest.approx(0.5, abs=0.02)
