"""The time estimate for a long training run on a CPU, and the advice to shorten it."""

from __future__ import annotations

from mfer_lightning.training.time_estimate import note_on_duration

BIG = {"backbone": {"options": None}}


def test_duration_is_estimated_from_flops_and_core_throughput() -> None:
    # 20.5e9 multiply-adds, two operations each, times three for the forward and backward passes, 1e4 faces, 10 epochs
    said = note_on_duration(BIG, 20.5, 10_000, 10, 2, "32-true")
    assert said is not None
    assert "about 24 hours on 2 CPU cores" in said  # 1.23e16 / 1.4e11 / 3600
    assert "about 49 hours on 1 CPU core," in str(note_on_duration(BIG, 20.5, 10_000, 10, 1, "32-true"))
    assert "about 12 hours on 2 CPU cores" in str(note_on_duration(BIG, 20.5, 10_000, 10, 2, "bf16-mixed"))


def test_short_or_nearly_finished_runs_print_no_estimate() -> None:
    assert note_on_duration(BIG, 20.5, 10_000, 1, 2, "32-true") is None
    assert note_on_duration(BIG, 20.5, 10_000, 0, 2, "32-true") is None


def test_advice_fits_the_network() -> None:
    assert "e.g. backbone=convnext_atto preprocess.size=64" in str(
        note_on_duration(BIG, 20.5, 10_000, 10, 2, "32-true")
    )
    own = {"backbone": {"options": {"channels": [64, 128]}}}  # which another backbone would not take
    said = str(note_on_duration(own, 20.5, 10_000, 10, 2, "32-true"))
    assert said.endswith("choose a smaller network and smaller faces")
    small = str(note_on_duration(BIG, 0.05, 280_000, 60, 2, "32-true"))
    assert small.endswith("choose fewer epochs (trainer.max_epochs=...)")
