"""The report's tables: mean and spread are computed only over runs that are identical except for their seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mfer_lightning.data.protocols import BEST_ON_TEST, BEST_ON_VAL, LAST_EPOCH
from mfer_lightning.tracking.dashboards.runs import FinishedRun
from mfer_lightning.tracking.dashboards.tables import best_runs, by_setting, class_recalls, loss_by_backbone, ranking


def run(
    loss: str,
    seed: int,
    accuracy: float,
    val: float | None,
    recall: float | None = 0.5,
    more: str = "",
    monitor: str | None = "accuracy",
) -> FinishedRun:
    result = {
        "seed": seed,
        "class_names": ["joy", "fear"],
        "metrics": {"accuracy": accuracy, "mean_class_accuracy": accuracy, "macro_f1": None},
        "per_class": {"joy": {"recall": recall}, "fear": {"recall": None}},
        "selection": {"value": val, "monitor": monitor},
        "config": {"loss": {"name": loss}, "backbone": {"name": "atto"}, "logger": {"name": "csv"}},
    }
    return FinishedRun(Path(f"{loss}-{seed}{more}"), result, True, setting=f"{loss} atto{more}")


RUNS = [run("ce", 0, 0.80, 0.7, 0.4), run("ce", 1, 0.84, 0.9, 0.6), run("dsf", 0, 0.90, 0.8)]


def rows(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_cell_is_mean_and_spread_over_seeds() -> None:
    assert rows(loss_by_backbone(RUNS))[2:] == [["ce", "82.00 ± 2.83 (2)"], ["dsf", "90.00 (1)"]]


def test_runs_that_differ_in_more_than_their_seed_are_not_averaged() -> None:
    mixed = [*RUNS, run("ce", 0, 0.1, 0.1, more=" none")]
    assert rows(loss_by_backbone(mixed))[2] == ["ce", "2 settings, see below"]
    assert [row[0] for row in rows(by_setting(mixed))[2:]] == ["ce atto", "dsf atto", "ce atto none"]


def test_undefined_metrics_stay_undefined() -> None:
    assert rows(by_setting(RUNS))[2] == ["ce atto", "82.00 ± 2.83 (2)", "82.00 ± 2.83 (2)", "–"]
    assert rows(class_recalls(RUNS))[2] == ["ce atto", "50.0", "–"]


@pytest.mark.parametrize(
    ("selection", "said"),
    [
        ({"rule": BEST_ON_VAL, "split": "val"}, "Ranked on the val split"),
        ({"rule": BEST_ON_TEST, "split": "val"}, "Ranked on the test split"),
        ({"rule": LAST_EPOCH, "split": None}, "Not ranked"),
    ],
)
def test_ranking_names_the_split_that_the_protocol_selects_on(selection: dict[str, Any], said: str) -> None:
    one = run("ce", 0, 0.8, 0.7)
    one.result["selection"].update(selection)
    assert ranking([one]).startswith(said)


def test_best_runs_are_ranked_by_val_not_test() -> None:
    ranked = rows(best_runs([*RUNS, run("last", 0, 0.99, None)], limit=4))[2:]
    assert [row[0] for row in ranked] == ["ce-1", "dsf-0", "ce-0", "last-0"]
    assert [row[3] for row in ranked] == ["accuracy 90.00%", "accuracy 80.00%", "accuracy 70.00%", "–"]


def test_best_runs_by_nll_have_the_lowest_value_first() -> None:
    ranked = rows(best_runs([run("ce", seed, 0.8, nll, monitor="nll") for seed, nll in enumerate((0.5, 0.3, 1.2))]))[2:]
    assert [row[3] for row in ranked] == ["nll 0.3000", "nll 0.5000", "nll 1.2000"]


@pytest.mark.parametrize("mode", ["max", "min"])
def test_best_runs_by_a_metric_of_the_user_follow_its_direction(mode: str) -> None:
    runs = [run("ce", seed, 0.8, value, monitor="mine") for seed, value in enumerate((0.5, 0.3, 1.2))]
    for one in runs[1:]:  # the first is from an earlier version, which did not store the direction
        one.result["selection"]["mode"] = mode
    ranked = rows(best_runs(runs))[2:]
    assert [row[2] for row in ranked] == (["2", "0", "1"] if mode == "max" else ["1", "0", "2"])


def test_best_runs_do_not_compare_different_selection_metrics() -> None:
    by_nll = [run("ce", 7, 0.8, 0.95, monitor="nll"), run("ce", 8, 0.8, 0.6, monitor="nll")]
    ranked = rows(best_runs([*by_nll, *RUNS]))[2:]
    assert [row[0] for row in ranked] == ["ce-1", "dsf-0", "ce-0", "ce-8", "ce-7"]
