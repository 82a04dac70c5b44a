"""The optimism gap, from rows and from files, including damaged ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.statistics import optimism_gap

FIGURES = (0.50, 0.61, 0.70, 0.66, 0.68, 0.67, 0.69)


def write(path: Path, figures: tuple[float, ...] = FIGURES) -> Path:
    rows = [f"{i},1e-3,{value:.6f}" for i, value in enumerate(figures)]
    path.write_text("\n".join(["epoch,lr,track_test/accuracy", *rows]) + "\n", encoding="utf-8")
    return path


def test_three_epoch_selection_rules(tmp_path: Path) -> None:
    found = optimism_gap(write(tmp_path / "metrics.csv"), selection_epoch=4)
    assert found is not None
    assert (found.val_selected, found.best_on_test) == (0.68, 0.70)
    assert found.mean_of_last_five == pytest.approx((0.70 + 0.66 + 0.68 + 0.67 + 0.69) / 5)
    assert found.gap == pytest.approx(0.02)


def test_fewer_than_five_epochs_and_best_epoch_selected(tmp_path: Path) -> None:
    found = optimism_gap(write(tmp_path / "metrics.csv", (0.5, 0.6)), selection_epoch=1)
    assert found is not None
    assert (found.mean_of_last_five, found.gap) == (pytest.approx(0.55), 0)


def test_missing_metric_gives_no_gap(tmp_path: Path) -> None:
    assert optimism_gap(write(tmp_path / "metrics.csv"), 4, metric="macro_f1") is None
    assert optimism_gap([{"epoch": 0, "val/accuracy": 0.5}], 0) is None
    assert optimism_gap([{"epoch": 0, "track_test/accuracy": ""}], 0) is None


def test_unreadable_metrics_raise_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Cannot read the metrics .*: No such file"):
        optimism_gap(tmp_path / "nothing.csv", 0)
    with pytest.raises(UserError, match="epoch 10"):
        optimism_gap(write(tmp_path / "metrics.csv"), 9)
    binary = tmp_path / "binary.csv"
    binary.write_bytes(bytes(range(128, 256)))
    with pytest.raises(UserError, match="Cannot read"):
        optimism_gap(binary, 0)
    broken = tmp_path / "broken.csv"
    broken.write_text("epoch,track_test/accuracy\n0,0.5\n1,half\n", encoding="utf-8")
    with pytest.raises(UserError, match="half"):
        optimism_gap(broken, 0)
    empty = tmp_path / "empty.csv"
    empty.write_text("", encoding="utf-8")
    assert optimism_gap(empty, 0) is None
