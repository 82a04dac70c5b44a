"""Two methods over seeds: variance components computed by hand, verdicts, and (slow) error rates in simulations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from mfer_lightning.evaluation.statistics import compare_against_baseline, compare_methods, holm
from mfer_lightning.evaluation.statistics.simulation import Setting, expected_spread, simulate_runs
from mfer_lightning.evaluation.statistics.variance_components import (
    Components,
    effective_degrees_of_freedom,
    variance_components,
)


def runs(seeds: int, images: int, accuracy: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((seeds, images)) < accuracy


class TestComponents:
    def test_components_match_two_way_anova_by_hand(self) -> None:
        a, b = runs(3, 50, 0.7, 1), runs(4, 50, 0.8, 2)
        found = variance_components(a, b, np.zeros(50, dtype=np.int64))
        residuals = []
        for x in (a.astype(float), b.astype(float)):
            left = x - x.mean(1, keepdims=True) - x.mean(0, keepdims=True) + x.mean()
            residuals.append((left**2).sum() / ((len(x) - 1) * 49))
        assert found.seeds_a == pytest.approx(a.mean(1).var(ddof=1) / 3)
        assert found.seeds_b == pytest.approx(b.mean(1).var(ddof=1) / 4)
        d = a.mean(0) - b.mean(0)
        image = (d.var(ddof=1) - residuals[0] / 3 - residuals[1] / 4) / 50
        assert found.images == pytest.approx(max(0.0, image), abs=1e-15)

    def test_each_component_is_an_unbiased_estimate(self) -> None:
        setting = Setting(images=400, seeds=(4, 4), accuracy=0.8, spread=(0.02, 0.0), interaction=2.0)
        rng, strata = np.random.default_rng(0), np.zeros(400, dtype=np.int64)
        drawn = [simulate_runs(setting, rng) for _ in range(600)]
        found = [variance_components(a, b, strata) for a, b in drawn]
        expected = np.array(expected_spread(setting)) ** 2 / 4
        assert np.mean([c.seeds_a for c in found]) == pytest.approx(expected[0], rel=0.1)
        assert np.mean([c.seeds_b for c in found]) == pytest.approx(expected[1], rel=0.1)
        difference = np.var([a.mean() - b.mean() for a, b in drawn])
        assert np.mean([c.total for c in found]) == pytest.approx(difference, rel=0.15)  # nothing is counted twice

    def test_classes_have_equal_weight_in_the_class_mean(self) -> None:
        a, b = runs(3, 60, 0.7, 1), runs(3, 60, 0.8, 2)
        strata = np.repeat([0, 1], [40, 20])
        both = variance_components(a, b, strata)
        of_class = [
            variance_components(a[:, strata == k], b[:, strata == k], np.zeros(n, int)) for k, n in ((0, 40), (1, 20))
        ]
        figure = (a[:, :40].mean(1) + a[:, 40:].mean(1)) / 2
        assert both.seeds_a == pytest.approx(figure.var(ddof=1) / 3)
        if all(c.images > 0 for c in of_class):
            assert both.images == pytest.approx(sum(c.images for c in of_class) / 4)

    def test_class_with_one_image_gives_finite_results(self) -> None:
        labels = np.array([0] * 30 + [1] * 29 + [2])
        found = compare_methods(runs(3, 60, 0.7, 1), runs(3, 60, 0.8, 2), labels, "mean_class_accuracy")
        assert np.isfinite([found.low, found.high, found.smallest_detectable]).all()


class TestDegreesOfFreedom:
    def test_single_component_uses_its_own_degrees_of_freedom(self) -> None:
        assert effective_degrees_of_freedom(Components(1.0, 0.0, 0.0, 0.0), 4, 9) == pytest.approx(3)
        assert effective_degrees_of_freedom(Components(0.0, 1.0, 0.0, 0.0), 4, 9) == pytest.approx(8)
        assert effective_degrees_of_freedom(Components(0.0, 0.0, 1.0, 1 / 2999), 4, 9) == pytest.approx(2999)

    def test_many_seeds_match_satterthwaite(self) -> None:
        found = effective_degrees_of_freedom(Components(1.0, 2.0, 0.0, 0.0), 150, 120)
        assert found == pytest.approx(9 / (1 / 149 + 4 / 119), rel=0.02)


class TestVerdicts:
    def test_clear_difference_is_better_in_one_direction_and_worse_in_the_other(self) -> None:
        a, b = runs(5, 2000, 0.9, 1), runs(5, 2000, 0.8, 2)
        found, turned = compare_methods(a, b), compare_methods(b, a)
        assert (found.verdict, turned.verdict) == ("better", "worse")
        assert found.p_value == turned.p_value < 1e-4
        assert 0 < found.low < found.difference < found.high
        assert found.difference == pytest.approx(a.mean() - b.mean())
        assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))

    def test_similar_methods_tie_with_a_smallest_detectable_difference(self) -> None:
        found = compare_methods(runs(3, 2000, 0.9, 1), runs(3, 2000, 0.9, 2))
        assert found.verdict == "tie"
        assert found.low < 0 < found.high
        assert found.smallest_detectable > found.high - found.difference  # 80% power requires more

    @pytest.mark.parametrize("seeds", [(1, 5), (5, 2), (2, 2), (1, 1)])
    def test_fewer_than_three_seeds_are_always_undecided(self, seeds: tuple[int, int]) -> None:
        found = compare_methods(runs(seeds[0], 500, 0.99, 1), runs(seeds[1], 500, 0.2, 2))
        assert found.verdict == "undecided"
        assert found.difference > 0.5
        assert (found.p_value, found.low, found.high, found.smallest_detectable) == (None,) * 4

    def test_order_of_images_and_seeds_does_not_matter(self) -> None:
        a, b = runs(4, 300, 0.8, 1), runs(3, 300, 0.75, 2)
        order = np.random.default_rng(0).permutation(300)
        assert compare_methods(a[::-1][:, order], b[:, order]).p_value == pytest.approx(compare_methods(a, b).p_value)

    def test_identical_runs_tie_and_completely_different_ones_do_not(self) -> None:
        same = np.tile(runs(1, 100, 0.8), (3, 1))
        found = compare_methods(same, same)
        assert (found.verdict, found.p_value) == ("tie", 1.0)
        # an interval of zero width is meaningless
        assert (found.low, found.high, found.smallest_detectable) == (None,) * 3
        assert compare_methods(np.ones((3, 50), bool), np.zeros((3, 50), bool)).verdict == "better"

    def test_mean_class_accuracy_detects_what_accuracy_misses(self) -> None:
        labels = np.array([0] * 950 + [1] * 50)
        a, b = runs(5, 1000, 0.9, 1), runs(5, 1000, 0.9, 2)
        a[:, labels == 1] = runs(5, 50, 0.9, 3)
        b[:, labels == 1] = runs(5, 50, 0.4, 4)
        found = compare_methods(a, b, labels, "mean_class_accuracy")
        assert found.verdict == "better"
        expected = np.mean([a[:, labels == k].mean() - b[:, labels == k].mean() for k in (0, 1)])
        assert found.difference == pytest.approx(expected)

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"correct_a": np.ones((3, 10))}, "correct_a"),
            ({"correct_a": np.ones(10, bool)}, "correct_a"),
            ({"correct_a": np.ones((0, 10), bool)}, "correct_a"),
            ({"correct_b": np.ones((3, 9), bool)}, "correct_b"),
            ({"correct_a": np.ones((3, 1), bool), "correct_b": np.ones((3, 1), bool)}, "at least 2 images"),
            ({"metric": "macro_f1"}, "metric"),
            ({"metric": "mean_class_accuracy"}, "labels"),
            ({"confidence": 0.0}, "confidence"),
        ],
    )
    def test_invalid_arguments_raise_value_error(self, change: dict, words: str) -> None:
        right = {"correct_a": np.ones((3, 10), bool), "correct_b": np.ones((3, 10), bool)}
        with pytest.raises(ValueError, match=words):
            compare_methods(**{**right, **change})


class TestManyMethods:
    def test_holm_by_hand(self) -> None:
        # sorted: 0.005*4, 0.01*3, 0.03*2, 0.04*1, each at least the one before
        assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
        assert holm([0.5, 0.9]).tolist() == [1.0, 1.0]
        assert holm([]).tolist() == []
        with pytest.raises(ValueError, match="p_values"):
            holm([1.5])

    def test_verdicts_use_adjusted_p_values_and_ignore_undecided_methods(self) -> None:
        methods = {"ce": runs(5, 2000, 0.80, 0), "dsf": runs(5, 2000, 0.90, 1), "two": runs(2, 2000, 0.99, 2)}
        methods |= {f"m{i}": runs(5, 2000, 0.80, 10 + i) for i in range(4)}
        found = {c.name: c for c in compare_against_baseline(methods, "ce")}
        assert list(found) == ["dsf", "two", "m0", "m1", "m2", "m3"]
        assert (found["dsf"].verdict, found["two"].verdict, found["two"].adjusted_p_value) == (
            "better",
            "undecided",
            None,
        )
        decided = [c for c in found.values() if c.p_value is not None]
        assert [c.adjusted_p_value for c in decided] == pytest.approx(holm([c.p_value for c in decided]))
        assert all(c.baseline == "ce" for c in found.values())

    def test_single_difference_may_not_survive_correction(self) -> None:
        rng = np.random.default_rng(3)
        for _ in range(200):
            a, b = simulate_runs(Setting(images=500, seeds=(3, 3), difference=0.02), rng)
            if 0.02 < compare_methods(a, b).p_value < 0.05:
                break
        alone = compare_against_baseline({"b": b, "a": a}, "b")[0]
        assert alone.verdict != "tie"
        family = compare_against_baseline({"b": b, "a": a, "c": a, "d": a}, "b")
        assert {c.verdict for c in family} == {"tie"}

    def test_family_correction_raises_the_smallest_detectable_difference(self) -> None:
        a, b = runs(5, 1000, 0.8, 1), runs(5, 1000, 0.8, 2)
        alone = compare_against_baseline({"b": b, "a": a}, "b")[0]
        assert alone.smallest_detectable == pytest.approx(compare_methods(a, b).smallest_detectable)
        family = compare_against_baseline({"b": b, **{str(i): a for i in range(5)}}, "b")[0]
        # as if tested at a fifth of the level
        at_level = compare_methods(a, b, confidence=1 - 0.05 / 5).smallest_detectable
        assert family.smallest_detectable == pytest.approx(at_level)
        assert family.smallest_detectable > alone.smallest_detectable

    def test_comparison_with_the_best_corrects_for_all_pairs(self) -> None:
        methods = {str(i): runs(3, 500, 0.8, i) for i in range(5)}
        best = max(methods, key=lambda name: methods[name].mean())
        found = compare_against_baseline(methods, best, chosen_by_results=True)
        assert [c.adjusted_p_value for c in found] == pytest.approx([min(1.0, 10 * c.p_value) for c in found])
        assert {c.verdict for c in found} == {"tie"}

    def test_unknown_baseline_is_rejected(self) -> None:
        with pytest.raises(ValueError, match="baseline"):
            compare_against_baseline({"a": runs(3, 10, 0.5)}, "b")


def rate(setting: Setting, repetitions: int, seed: int = 0) -> float:
    rng = np.random.default_rng(seed)
    return float(np.mean([compare_methods(*simulate_runs(setting, rng)).verdict != "tie" for _ in range(repetitions)]))


def test_simulated_difference_matches_the_requested_one() -> None:
    setting = Setting(images=2000, seeds=(2, 2), accuracy=0.7, difference=0.05, spread=(0.01, 0.01))
    rng = np.random.default_rng(0)
    means = np.array([[x.mean() for x in simulate_runs(setting, rng)] for _ in range(150)])
    assert means.mean(axis=0) == pytest.approx([0.75, 0.70], abs=0.004)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "setting",
    [
        Setting(accuracy=0.92, spread=(0.002, 0.002), interaction=0.0),
        Setting(accuracy=0.92, spread=(0.004, 0.004), interaction=0.0),
        Setting(accuracy=0.92, spread=(0.008, 0.008), interaction=1.0),
        Setting(accuracy=0.65, images=4000, spread=(0.002, 0.008), interaction=0.5),
        Setting(accuracy=0.92, seeds=(5, 5), interaction=0.0),
        Setting(accuracy=0.92, seeds=(5, 5), spread=(0.002, 0.008)),
        Setting(accuracy=0.92, seeds=(10, 10), interaction=1.0),
        Setting(accuracy=0.92, seeds=(3, 5), interaction=0.0),
    ],
    ids=str,
)
def test_false_positive_rate_is_four_to_six_percent(setting: Setting) -> None:
    found = rate(setting, 10_000)
    print(f"{100 * found:.2f}% of {setting}")
    assert 0.04 <= found <= 0.06


@pytest.mark.slow
def test_smallest_detectable_difference_has_80_percent_power() -> None:
    setting = Setting(seeds=(5, 5), accuracy=0.9)
    rng = np.random.default_rng(0)
    # with the true variance, known from many runs, instead of one estimate
    total = np.mean([variance_components(*simulate_runs(setting, rng), np.zeros(3000, int)).total for _ in range(300)])
    share = [
        c.smallest_detectable / ((c.high - c.difference) / stats.t.isf(0.025, c.degrees_of_freedom))
        for c in (compare_methods(*simulate_runs(setting, rng)) for _ in range(300))
    ]
    assert rate(replace(setting, difference=float(np.median(share) * total**0.5)), 2000, 1) == pytest.approx(
        0.8, abs=0.04
    )
