"""Each figure shows the given numbers legibly, and is written atomically."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from class_orders import CLASS_ORDERS
from matplotlib.figure import Figure
from scipy.special import softmax

from mfer_lightning.emotions import EMOTIONS
from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.calibration import expected_calibration_error
from mfer_lightning.evaluation.compactness import compactness
from mfer_lightning.evaluation.metrics_csv import read_curves
from mfer_lightning.figures.confusion import plot_confusion
from mfer_lightning.figures.embedding import plot_embedding
from mfer_lightning.figures.learning_curves import plot_learning_curves
from mfer_lightning.figures.per_class import plot_per_class
from mfer_lightning.figures.plane import Plane, embed, embed_all, stratified_subset
from mfer_lightning.figures.reliability import plot_reliability
from mfer_lightning.figures.risk_coverage import risk_coverage_panel
from mfer_lightning.figures.style import class_styles

NAMES = CLASS_ORDERS["ferplus"]
Check = Callable[[Figure, Path], list[str]]


def epochs(n: int) -> list[dict[str, object]]:
    return [
        {
            "epoch": e, "step": 10 * e, "lr": 1e-3 * 0.9**e, "seconds": 3.1,
            "train/loss": 3 / (e + 1), "train/classification": 2 / (e + 1), "train/feature": 1 / (e + 1),
            "val/nll": 1 / (e + 1), "val/accuracy": 1 - 0.5**e, "val/mean_class_accuracy": 0.9 - 0.5**e,
            "track_test/accuracy": 0.123,
        }
        for e in range(n)
    ]  # fmt: skip


class TestConfusion:
    @pytest.mark.parametrize("names", [NAMES, CLASS_ORDERS["rafdb"], ("yes", "no")], ids=len)
    def test_shows_percentages_and_counts(
        self, tmp_path: Path, drawn: list[Figure], legible: Check, names: tuple[str, ...]
    ) -> None:
        k = len(names)
        counts = np.eye(k, dtype=int) * 3000
        counts[0, 1] = 1000
        plot_confusion(counts, names, tmp_path / "confusion.png")
        words = legible(drawn[0], tmp_path / "confusion.png")
        for expected in ("75.0", "25.0", "3,000", "1,000", f"{names[0]} (4,000)", names[1]):
            assert expected in words

    def test_class_without_samples_has_no_percentage(self, tmp_path: Path, drawn: list[Figure], legible: Check) -> None:
        plot_confusion([[4, 0], [0, 0]], ("yes", "no"), tmp_path / "c.png")
        assert {"–", "no (0)"} <= set(legible(drawn[0], tmp_path / "c.png"))

    def test_invalid_shapes_raise_value_error(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"`confusion` to be of shape \(2, 2\), but got \(3, 3\)"):
            plot_confusion(np.eye(3), ("a", "b"), tmp_path / "c.png")
        with pytest.raises(ValueError, match="to contain counts, but got -1"):
            plot_confusion([[0, -1], [0, 0]], ("a", "b"), tmp_path / "c.png")


class TestPerClass:
    def test_shows_recall_interval_and_mean(self, tmp_path: Path, drawn: list[Figure], legible: Check) -> None:
        per_class = {name: {"n": 100, "recall": 0.9} for name in NAMES}
        per_class["contempt"] = {"n": 0, "recall": None}
        per_class["fear"] = {"n": 20, "recall": 0.2}
        plot_per_class(per_class, tmp_path / "p.png")
        words = legible(drawn[0], tmp_path / "p.png")
        # the mean is over the 7 classes with samples; 0.8256 to 0.9448 is the textbook interval of 90 in 100
        assert {"90.0%", "[82.6, 94.5]", "mean of classes 80.0%", "no samples", "contempt (0)"} <= set(words)

    def test_empty_class_list_raises_value_error(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="at least one class"):
            plot_per_class({}, tmp_path / "p.png")


class TestReliability:
    @pytest.mark.parametrize("scale", [0.5, 2.0, 30.0], ids=["vague", "usual", "nearly sure of everything"])
    def test_heading_shows_the_calibration_error(
        self, tmp_path: Path, drawn: list[Figure], legible: Check, scale: float
    ) -> None:
        rng = np.random.default_rng(0)
        label = rng.integers(0, 8, 900)
        p = softmax(scale * (rng.normal(size=(900, 8)) + np.eye(8)[label]), axis=1)
        plot_reliability(p, label, tmp_path / "r.png")
        words = legible(drawn[0], tmp_path / "r.png")
        assert f"Reliability: ECE {100 * expected_calibration_error(p, label):.1f}%" in words
        histogram = [patch.get_height() for patch in drawn[0].axes[1].patches]
        assert sum(histogram) == pytest.approx(100)  # the axis includes every sample


class TestRiskCoverage:
    @pytest.mark.parametrize("n", [1, 15, 600])
    def test_ends_at_the_error_over_all_faces(self, drawn: list[Figure], tmp_path: Path, n: int) -> None:
        rng = np.random.default_rng(0)
        confidence = rng.uniform(0.3, 1, n)
        right = rng.uniform(size=n) < confidence
        assert risk_coverage_panel(confidence, right, tmp_path / "r.png", "method").startswith("<svg")
        curve, whole = drawn[0].axes[0].lines
        assert curve.get_xydata()[-1] == pytest.approx((1, (~right).mean()))
        assert whole.get_ydata()[0] == pytest.approx((~right).mean())
        assert (np.diff(curve.get_xdata()) > 0).all()

    def test_face_counts_once_in_the_intervals_of_joined_seeds(self, drawn: list[Figure], tmp_path: Path) -> None:
        rng = np.random.default_rng(0)
        confidence, right = rng.uniform(0.3, 1, 200), rng.uniform(size=200) < 0.8
        risk_coverage_panel(confidence, right, tmp_path / "one.png", "one")
        risk_coverage_panel(np.tile(confidence, 7), np.tile(right, 7), tmp_path / "seven.png", "seven alike", seeds=7)
        bands = [figure.axes[0].collections[0].get_paths()[0].vertices for figure in drawn]
        one, seven = (np.ptp(band[band[:, 0] == 1, 1]) for band in bands)
        assert seven == pytest.approx(one)

    @pytest.mark.parametrize("error", [0.01, 0.16, 0.5])
    def test_tick_labels_match_their_positions(self, drawn: list[Figure], tmp_path: Path, error: float) -> None:
        rng = np.random.default_rng(0)
        right = rng.uniform(size=4000) > error
        risk_coverage_panel(rng.uniform(0.3, 1, 4000), right, tmp_path / "r.png", "method")
        axis = drawn[0].axes[0].yaxis
        ticks = axis.get_majorticklocs()
        words = axis.get_major_formatter().format_ticks(list(ticks))
        np.testing.assert_allclose([float(word) / 100 for word in words], ticks, atol=1e-9)


class TestLearningCurves:
    @pytest.mark.parametrize("n", [1, 20])
    def test_draws_losses_accuracies_and_rate_and_marks_the_selected_epoch(
        self, tmp_path: Path, drawn: list[Figure], legible: Check, n: int
    ) -> None:
        with (tmp_path / "metrics.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, epochs(1)[0])
            writer.writeheader()
            writer.writerows(epochs(n))
        plot_learning_curves(tmp_path / "metrics.csv", tmp_path / "curves.png", selected_epoch=n - 1)
        words = legible(drawn[0], tmp_path / "curves.png")
        assert {"train loss", "train feature", "val nll", "val accuracy", "lr", f"selected: epoch {n}"} <= set(words)
        curves = {line.get_label(): line for axes in drawn[0].axes for line in axes.lines}
        np.testing.assert_allclose(curves["val accuracy"].get_ydata(), [1 - 0.5**e for e in range(n)])
        assert list(curves["val accuracy"].get_xdata()) == list(range(1, n + 1)), "counted from 1, as during training"
        assert [axes.get_ylabel() for axes in drawn[0].axes] == ["loss", "accuracy, F1 (%)", "learning rate"]

    def test_never_draws_test_metrics(self, tmp_path: Path, drawn: list[Figure]) -> None:
        rows = [{**row, "test/accuracy": 0.123} for row in epochs(3)]
        plot_learning_curves(rows, tmp_path / "curves.png")
        assert all(0.123 not in list(line.get_ydata()) for axes in drawn[0].axes for line in axes.lines)

    def test_reads_sparse_lightning_rows(self) -> None:
        rows = [
            {"epoch": "", "step": "9", "lr-AdamW": "0.1", "train/loss_step": "", "train/loss_epoch": ""},
            {"epoch": "0", "step": "9", "lr-AdamW": "", "train/loss_step": "9", "train/loss_epoch": "2.0"},
            {"epoch": "0", "step": "9", "lr-AdamW": "", "train/loss_step": "", "train/loss_epoch": "", "val/nll": "1"},
            {"epoch": "1", "step": "19", "lr-AdamW": "", "train/loss_step": "8", "train/loss_epoch": "nan"},
        ]
        assert read_curves(rows) == {"lr-AdamW": [(0, 0.1)], "train/loss": [(0, 2.0)], "val/nll": [(0, 1.0)]}

    def test_files_without_curves_raise_one_clear_error(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"Cannot read the metrics .*none\.csv: No such file"):
            plot_learning_curves(tmp_path / "none.csv", tmp_path / "c.png")
        with pytest.raises(UserError, match="There is no column epoch among a"):
            plot_learning_curves([{"a": 1}], tmp_path / "c.png")
        with pytest.raises(UserError, match="There are no train, val or lr curves among seconds"):
            plot_learning_curves([{"epoch": 0, "seconds": 1.0}], tmp_path / "c.png")
        assert not list(tmp_path.iterdir())


class TestEmbedding:
    @staticmethod
    def clusters(n: int = 160, k: int = 8) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(0)
        label = np.arange(n) % k
        return rng.normal(size=(k, 40))[label] * 4 + rng.normal(size=(n, 40)), label

    @pytest.mark.parametrize("method", ["tsne", "pca"])
    def test_shows_measured_compactness_and_all_classes(
        self, tmp_path: Path, drawn: list[Figure], legible: Check, method: str
    ) -> None:
        features, label = self.clusters()
        plot_embedding(features, label, NAMES, tmp_path / "e.png", method=method, max_points=80)
        words = legible(drawn[0], tmp_path / "e.png")
        found = compactness(features, label)
        assert any(f"{found.spread:#.3g}" in w and f"{found.distance:#.3g}" in w and f"= {found.ratio:.2f}" in
                   w.replace("  ", " ") for w in words)  # fmt: skip
        assert {f"{name} (10)" for name in NAMES} <= set(words)
        assert any("80 of 160 samples" in w for w in words)
        points = sum(len(c.get_offsets()) for c in drawn[0].axes[0].collections)
        assert points == 80

    @pytest.mark.parametrize("method", ["tsne", "pca"])
    def test_separated_classes_stay_separated_in_the_plane(self, method: str) -> None:
        features, label = self.clusters(120, 3)
        plane = embed(features, method)
        centres = np.stack([plane[label == k].mean(axis=0) for k in range(3)])
        nearest = ((plane[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
        assert (nearest == label).all()

    def test_same_seed_gives_the_same_file(self, tmp_path: Path) -> None:
        features, label = self.clusters()
        for name in ("a", "b"):
            plot_embedding(features, label, NAMES, tmp_path / f"{name}.png", max_points=60)
        assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()

    @pytest.mark.filterwarnings("error")
    def test_collapsed_narrow_and_unlabelled_features_are_drawn(
        self, tmp_path: Path, drawn: list[Figure], legible: Check
    ) -> None:
        label = np.array([0, 0, 1, 1, -1])
        for number, features in enumerate([np.ones((5, 3)), np.arange(5.0)[:, None]]):
            plot_embedding(features, label, ("yes", "no"), tmp_path / f"{number}.png")
            words = legible(drawn[number], tmp_path / f"{number}.png")
            assert {"yes (2)", "no (2)"} <= set(words)

    @pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
    def test_smallest_sets_can_be_embedded(self, n: int) -> None:
        plane = embed(np.eye(5)[:n])
        assert plane.shape == (n, 2)
        assert np.isfinite(plane).all()

    def test_given_plane_is_drawn_unchanged(self, tmp_path: Path, drawn: list[Figure]) -> None:
        features, label = self.clusters()
        plane = Plane(np.arange(20.0).reshape(10, 2), np.arange(10))
        plot_embedding(features, label, NAMES, tmp_path / "e.png", plane=plane)
        points = np.concatenate([c.get_offsets() for c in drawn[0].axes[0].collections if len(c.get_offsets())])
        assert sorted(points.tolist()) == plane.points.tolist()

    @pytest.mark.slow
    def test_subprocesses_give_the_same_planes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        features = [self.clusters(n)[0] for n in (40, 44, 48, 52)]
        monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1}, raising=False)
        for one, many in zip([embed(f) for f in features], embed_all(features)(), strict=True):
            np.testing.assert_array_equal(one, many)

    def test_subsets_are_stratified_seeded_and_of_the_requested_size(self) -> None:
        label = np.repeat(np.arange(5), [900, 60, 30, 9, 1])
        rows = stratified_subset(label, 100)
        assert np.bincount(label[rows]).tolist() == [89, 6, 3, 1, 1]  # one row of the largest goes to the rarest
        assert (np.diff(rows) > 0).all()
        np.testing.assert_array_equal(rows, stratified_subset(label, 100))
        assert (rows != stratified_subset(label, 100, seed=1)).any()
        assert len(stratified_subset(label, 5)) == 5  # one per class
        with pytest.raises(ValueError, match="`limit` to be at least 5, one per class, but got 4"):
            stratified_subset(label, 4)

    def test_invalid_arguments_raise_value_error(self, tmp_path: Path) -> None:
        features, label = self.clusters()
        with pytest.raises(ValueError, match=r"`method` to be one of \('tsne', 'pca'\), but got 'umap'"):
            embed(features, "umap")
        with pytest.raises(ValueError, match="N at least 1"):
            embed(features[:0])
        with pytest.raises(ValueError, match="`label` to be below 2, but got 7"):
            plot_embedding(features, label, ("yes", "no"), tmp_path / "e.png")


class TestStyle:
    def test_emotion_has_the_same_colour_in_every_class_order(self) -> None:
        reference = dict(zip(EMOTIONS, class_styles(EMOTIONS), strict=True))
        for order in CLASS_ORDERS.values():
            if set(order) <= set(EMOTIONS):  # compound emotions have colours by position
                assert class_styles(order) == [reference[name] for name in order]

    @pytest.mark.parametrize("n", [3, 8, 30])
    def test_other_classes_get_unique_styles(self, n: int) -> None:
        names = ["anger", *(f"class {i}" for i in range(n))]
        assert len(set(class_styles(names))) == n + 1

    def test_drawing_does_not_change_global_settings(self, tmp_path: Path) -> None:
        def open_figures() -> list[int]:  # of pyplot, which another test of this process may have used
            return sys.modules["matplotlib.pyplot"].get_fignums() if "matplotlib.pyplot" in sys.modules else []

        before, figures = dict(mpl.rcParams), open_figures()
        plot_confusion(np.eye(2), ("a", "b"), tmp_path / "c.png")
        assert dict(mpl.rcParams) == before
        assert [path.name for path in tmp_path.iterdir()] == ["c.png"]
        assert open_figures() == figures

    def test_failed_figure_leaves_no_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("mfer_lightning.figures.style.FigureCanvasAgg.print_png", full)
        with pytest.raises(UserError, match=r"c\.png: No space left on device"):
            plot_confusion(np.eye(2), ("a", "b"), tmp_path / "c.png")
        assert not list(tmp_path.iterdir())
