"""Rounded logits keep all metrics and predictions unchanged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from class_orders import CLASS_ORDERS

from mfer_lightning.evaluation.metrics import evaluate
from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.evaluation.round_logits import STEPS, TOLERANCE, round_logits, round_predictions
from mfer_lightning.evaluation.study_archive import ArchivedRun, write_archive

NAMES = CLASS_ORDERS["ferplus"]
COUNTED = ("accuracy", "mean_class_accuracy", "macro_f1", "weighted_f1", "top2_accuracy", "cohen_kappa")


def ferplus(n: int = 3191, seed: int = 0, scale: float = 1.0, noise: float = 0.7) -> Predictions:
    """A table like that of FERPlus: ten annotators who mostly agree, and noisy logits."""
    rng = np.random.default_rng(seed)
    share = rng.dirichlet(np.array([1.0, 0.9, 0.5, 0.4, 0.35, 0.05, 0.1, 0.05]) * 0.4, n)
    votes = np.stack([rng.multinomial(10, p) for p in np.hstack([0.97 * share, np.full((n, 2), 0.015)])])
    target = np.maximum(votes[:, :8], 1e-9) / np.maximum(votes[:, :8], 1e-9).sum(axis=1, keepdims=True)
    logits = scale * (np.log(target + 0.01) + noise * rng.normal(size=(n, 8)))
    return Predictions(
        index=28_558 + np.arange(n),
        path=[f"FER2013Valid/fer{28_638 + i + i // 9:07d}.png" for i in range(n)],
        label=target.argmax(axis=1),
        logits=logits,
        class_names=NAMES,
        target=target,
        votes=votes,
        vote_names=(*NAMES, "unknown", "NF"),
    )


@pytest.mark.parametrize(("scale", "noise"), [(1.0, 0.7), (4.0, 1.5), (0.05, 0.7)])
def test_every_metric_is_reproduced(scale: float, noise: float) -> None:
    whole = ferplus(scale=scale, noise=noise)
    wanted = evaluate(whole)
    short = round_predictions(whole, wanted["metrics"])
    found = evaluate(short)
    for name in ("index", "path", "label", "pred", "votes"):
        np.testing.assert_array_equal(getattr(short, name), getattr(whole, name), err_msg=name)
    assert {name: found["metrics"][name] for name in COUNTED} == {name: wanted["metrics"][name] for name in COUNTED}
    for key in ("confusion", "per_class", "n", "notes"):
        assert found[key] == wanted[key]
    assert found["metrics"].keys() == wanted["metrics"].keys()
    assert {"kl_to_votes", "nll", "brier", "ece"} <= found["metrics"].keys()
    for name, value in wanted["metrics"].items():
        assert found["metrics"][name] == pytest.approx(value, abs=TOLERANCE), name


def test_ferplus_run_takes_at_most_60_kilobytes(tmp_path: Path) -> None:
    whole = ferplus()
    short = round_predictions(whole, evaluate(whole)["metrics"])
    write_archive(tmp_path / "runs.npz", [ArchivedRun("a", {}, short)])
    kept = (tmp_path / "runs.npz").stat().st_size
    assert kept <= 60_000
    assert len(whole.csv_text()) > 10 * kept


def test_rows_with_close_top_classes_keep_more_digits() -> None:
    logits = np.array(
        [
            [1.234, -2.0, 0.0],
            [1.01, 1.02, 0.0],  # the two largest logits differ by a hundredth
            [1.0002, 1.0003, 0.0],  # by a ten-thousandth
            [1.0000001, 1.0000002, 0.0],  # by one bit
            [3.0, 1.0002, 1.0003],  # the second and third largest differ by a ten-thousandth
            [2.0, 2.0, 1.0],  # the two largest are equal before rounding
        ],
        dtype=np.float32,
    )
    rounded = round_logits(logits, 0.05)
    np.testing.assert_allclose(rounded[0], [1.25, -2.0, 0.0], atol=1e-6)
    np.testing.assert_array_equal(rounded.argmax(axis=1), [0, 1, 1, 1, 0, 0])
    second = np.argsort(-rounded, axis=1, kind="stable")[:, 1]
    np.testing.assert_array_equal(second, np.argsort(-logits, axis=1, kind="stable")[:, 1])
    np.testing.assert_array_equal(rounded[3], logits[3])
    assert np.abs(rounded - logits).max() <= 0.025 + 1e-6


def test_plain_rounding_would_change_predictions() -> None:
    """The finer steps are needed: without them some of ten thousand close predictions would change."""
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=0.2, size=(10_000, 8)).astype(np.float32)
    coarse = (np.round(logits / 0.05) * 0.05).argmax(axis=1)
    assert (coarse != logits.argmax(axis=1)).any()
    np.testing.assert_array_equal(round_logits(logits, 0.05).argmax(axis=1), logits.argmax(axis=1))


def test_as_few_digits_as_possible_are_kept() -> None:
    plain = ferplus(n=400)
    units = round_predictions(plain, evaluate(plain)["metrics"]).logits.astype(np.float64) / STEPS[0]
    assert (np.abs(units - np.round(units)).max(axis=1) < 1e-4).mean() > 0.8


def test_soft_targets_are_kept_only_if_a_metric_needs_them() -> None:
    whole = ferplus(n=200)
    soft = replace(whole, votes=None, vote_names=())
    hard = replace(soft, target=np.eye(8)[whole.label])
    assert round_predictions(whole, evaluate(whole)["metrics"]).target is None  # determined by the votes
    assert round_predictions(hard, evaluate(hard)["metrics"]).target is None  # determined by the label
    kept = round_predictions(soft, evaluate(soft)["metrics"]).target
    assert kept is not None
    np.testing.assert_array_equal(kept, soft.target)


def test_metrics_of_other_predictions_are_rejected() -> None:
    whole = ferplus(n=200)
    figures = evaluate(whole)["metrics"]
    with pytest.raises(ValueError, match=r"metrics that do not follow from its predictions \(nll\)"):
        round_predictions(whole, {**figures, "nll": float(figures["nll"] or 0) + 0.01})
    with pytest.raises(ValueError, match=r"\(kl_to_votes, cross_entropy_to_votes\)"):
        round_predictions(replace(whole, votes=None, vote_names=(), target=None), figures)
    older = {k: v for k, v in figures.items() if not k.endswith("to_votes")}
    assert len(round_predictions(whole, older)) == 200
