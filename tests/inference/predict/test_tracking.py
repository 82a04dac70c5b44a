"""People keep their numbers, and smoothing depends on seconds, not on frames."""

from __future__ import annotations

import math

import pytest

from mfer_lightning.inference.media.face_tracking import Tracker
from mfer_lightning.inference.results import Face


def face(x: float, y: float = 0.0, size: float = 10.0, fear: float = 0.5) -> Face:
    return Face(0, {"fear": fear, "anger": 1 - fear}, box=(x, y, size, size))


def tracks(tracker: Tracker, time: float, *faces: Face) -> list[int]:
    return [seen.track for seen in tracker.update(faces, time)]


def test_two_people_who_cross_keep_their_numbers() -> None:
    tracker = Tracker()
    for step in range(11):
        left, right = face(4.0 * step, y=0), face(40 - 4.0 * step, y=7)
        assert tracks(tracker, step / 10, left, right) == [1, 2]
        assert tracks(tracker, step / 10, right, left) == [2, 1]


def test_fast_face_is_tracked_up_to_its_width() -> None:
    assert tracks(Tracker(), 0.0, face(0)) == [1]
    tracker = Tracker()
    assert [tracks(tracker, t / 10, face(9.5 * t)) for t in range(3)] == [[1], [1], [1]]
    assert tracks(tracker, 0.3, face(90)) == [2]


def test_face_of_another_size_at_the_same_position_is_a_new_person() -> None:
    tracker = Tracker()
    assert tracks(tracker, 0.0, face(0, size=10)) == [1]
    assert tracks(tracker, 0.1, face(0, size=60)) == [2]


def test_person_who_returns_after_a_long_absence_is_new() -> None:
    tracker = Tracker(patience=1.0)
    assert tracks(tracker, 0.0, face(0)) == [1]
    assert tracks(tracker, 0.9, face(0)) == [1]
    assert tracks(tracker, 2.0, face(0)) == [2]


def test_smoothing_does_not_depend_on_the_frame_rate() -> None:
    after = []
    for rate in (5, 50):
        tracker = Tracker(smooth=0.5)
        tracker.update([face(0, fear=1.0)], 0.0)
        for n in range(1, rate + 1):
            (seen,) = tracker.update([face(0, fear=0.0)], n / rate)
        after.append(seen.smoothed["fear"])
        assert sum(seen.smoothed.values()) == pytest.approx(1)
    assert after == pytest.approx([math.exp(-2)] * 2)


def test_without_smoothing_probabilities_are_unchanged() -> None:
    (seen,) = Tracker(smooth=0).update([face(0, fear=0.9)], 0.0)
    assert seen.smoothed is None
    assert seen.label == "fear"


def test_aligned_frames_are_one_person() -> None:
    tracker = Tracker()
    assert [tracks(tracker, t, Face(0, {"fear": 1.0})) for t in (0.0, 0.5)] == [[1], [1]]


@pytest.mark.parametrize("options", [{"smooth": -1}, {"patience": float("nan")}])
def test_invalid_options_raise_value_error(options: dict) -> None:
    with pytest.raises(ValueError, match="to be at least 0"):
        Tracker(**options)
