"""Metrics of valence and arousal: formulas, gaps, intervals, and the table of predictions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torchmetrics.regression import ConcordanceCorrCoef, MeanSquaredError

from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.metrics import evaluate
from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.evaluation.statistics import bootstrap_intervals
from mfer_lightning.evaluation.valence_arousal import FIGURES, TITLES

N = 40
NAN = float("nan")


def table(gaps=((0, 0), (0, 1), (3, 1)), rows=N) -> Predictions:
    rng = np.random.default_rng(0)
    known = rng.uniform(-1, 1, (rows, 2)).astype(np.float32)
    predicted = np.clip(known + rng.normal(0, 0.4, (rows, 2)), -1, 1)
    for row, column in gaps:
        known[row, column] = NAN
    return Predictions(
        range(rows),
        [f"{i}.png" for i in range(rows)],
        [i % 2 for i in range(rows)],
        rng.normal(size=(rows, 2)),
        ("anger", "fear"),
        valence_arousal=predicted,
        true_valence_arousal=known,
    )


def test_metrics_match_torchmetrics_over_known_values() -> None:
    faces = table()
    found = evaluate(faces)
    means = {}
    for place, of in enumerate(("valence", "arousal")):
        known = ~np.isnan(faces.true_valence_arousal[:, place])
        x = torch.as_tensor(faces.valence_arousal[known, place], dtype=torch.float64)
        y = torch.as_tensor(faces.true_valence_arousal[known, place], dtype=torch.float64)
        ccc, rmse = ConcordanceCorrCoef().set_dtype(torch.float64), MeanSquaredError(squared=False)
        expected = {
            "ccc": float(ccc(x, y)),
            "rmse": float(rmse(x, y)),
            "sagr": sum(a * b > 0 for a, b in zip(x.tolist(), y.tolist(), strict=True)) / len(x),
        }
        for name, value in expected.items():
            assert found["metrics"][f"{name}_{of}"] == pytest.approx(value, abs=1e-6)
            means.setdefault(name, []).append(value)
    for name, values in means.items():
        assert found["metrics"][name] == pytest.approx(sum(values) / 2, abs=1e-6)
    assert "left out of the metrics: valence of 1 and arousal of 2 of 40 faces." in " ".join(found["notes"])


def test_sign_of_zero_only_agrees_with_zero() -> None:
    faces = replace(
        table(gaps=(), rows=4),
        valence_arousal=np.array([[0, 0.1], [0.1, 0.1], [-0.1, 0.1], [0, 0.1]], dtype=np.float32),
        true_valence_arousal=np.array([[0, 0.2], [0, 0.2], [-0.9, -0.2], [0.3, 0.2]], dtype=np.float32),
    )
    metrics = evaluate(faces)["metrics"]
    assert (metrics["sagr_valence"], metrics["sagr_arousal"]) == (0.5, 0.75)


def test_tables_without_values_have_no_such_metrics() -> None:
    faces = table()
    for empty in (
        replace(faces, valence_arousal=None, true_valence_arousal=None),
        replace(faces, true_valence_arousal=None),
        replace(faces, true_valence_arousal=np.full((N, 2), NAN, dtype=np.float32)),
    ):
        assert not set(evaluate(empty)["metrics"]) & set(FIGURES)
        assert not set(bootstrap_intervals(empty, resamples=5)) & set(FIGURES)


def test_metrics_undefined_for_few_values_are_none() -> None:
    known = np.full((N, 2), NAN, dtype=np.float32)
    known[0] = 0.5, NAN
    metrics = evaluate(replace(table(), true_valence_arousal=known))["metrics"]
    assert metrics["ccc_valence"] is None
    assert metrics["rmse_valence"] is not None
    assert metrics["rmse_arousal"] is None
    assert metrics["rmse"] is None


def test_constant_predictions_have_zero_concordance() -> None:
    faces = replace(table(), valence_arousal=np.zeros((N, 2), dtype=np.float32))
    assert evaluate(faces)["metrics"]["ccc"] == pytest.approx(0, abs=1e-12)


def test_intervals_are_percentiles_of_resampled_metrics() -> None:
    faces = table()
    found = bootstrap_intervals(faces, resamples=1000, seed=3)
    rng, drawn = np.random.default_rng(7), []
    strata = [np.flatnonzero(faces.label == k) for k in range(2)]
    for _ in range(400):
        rows = np.concatenate([rng.choice(stratum, len(stratum)) for stratum in strata])
        again = replace(faces.select(rows), index=np.arange(N))
        drawn.append(evaluate(again)["metrics"])
    for name in FIGURES:
        low, high = np.quantile([metrics[name] for metrics in drawn], [0.025, 0.975])
        assert found[name] == (pytest.approx(low, abs=0.06), pytest.approx(high, abs=0.06))
    alone = bootstrap_intervals(faces, ["ccc"], resamples=50)
    assert alone["ccc"][0] < evaluate(faces)["metrics"]["ccc"] < alone["ccc"][1]
    grouped = bootstrap_intervals(faces, ["accuracy", "ccc"], resamples=50, groups=np.arange(N) // 2)
    assert grouped["ccc"][0] < grouped["ccc"][1]


def test_other_intervals_are_unchanged() -> None:
    faces = table()
    plain = bootstrap_intervals(replace(faces, valence_arousal=None, true_valence_arousal=None), resamples=200)
    both = bootstrap_intervals(faces, resamples=200)
    assert {name: both[name] for name in plain} == plain


def test_table_round_trips(tmp_path: Path) -> None:
    faces = table()
    faces.to_csv(tmp_path / "predictions_test.csv")
    again = Predictions.from_csv(tmp_path / "predictions_test.csv")
    np.testing.assert_array_equal(again.valence_arousal, faces.valence_arousal)
    np.testing.assert_array_equal(again.true_valence_arousal, faces.true_valence_arousal)
    header, first = (tmp_path / "predictions_test.csv").read_text().splitlines()[:2]
    assert header.endswith(",valence,arousal,true_valence,true_arousal")
    assert first.endswith(",,")  # both of the first face are unknown
    plain = replace(faces, valence_arousal=None, true_valence_arousal=None)
    plain.to_csv(tmp_path / "plain.csv")
    assert Predictions.from_csv(tmp_path / "plain.csv").valence_arousal is None


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (",,\n", ",2.5,\n", "column true_valence: got 2.5; values must be from -1 to 1"),
        (",,\n", ",much,\n", "true_valence"),
    ],
)
def test_invalid_values_are_named(tmp_path: Path, old: str, new: str, words: str) -> None:
    path = tmp_path / "predictions_test.csv"
    path.write_text(table().csv_text().replace(old, new, 1))
    with pytest.raises(UserError, match=words):
        Predictions.from_csv(path)


def test_out_of_range_values_are_rejected() -> None:
    with pytest.raises(ValueError, match=r"`true_valence_arousal` within \[-1, 1\]"):
        replace(table(), true_valence_arousal=np.full((N, 2), -2.0))


def test_parts_of_several_ranks_are_merged_with_their_values() -> None:
    faces = table()
    joined = Predictions.merge([faces.select(np.arange(20, N)), faces.select(np.arange(25))])
    np.testing.assert_array_equal(joined.true_valence_arousal, faces.true_valence_arousal)
    np.testing.assert_array_equal(joined.valence_arousal, faces.valence_arousal)


def test_every_metric_has_a_title() -> None:
    assert tuple(TITLES) == FIGURES
