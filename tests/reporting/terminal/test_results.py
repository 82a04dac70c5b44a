"""Output at the end of a run and of a sweep in an 80-column terminal without colour."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from class_orders import CLASS_ORDERS
from rich.console import Console

from mfer_lightning.evaluation.metrics import evaluate
from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.evaluation.schema import SCHEMA_VERSION, validate_result
from mfer_lightning.reporting.terminal.results import print_result, print_sweep

NAMES = CLASS_ORDERS["ferplus"]


def result(right: int = 75, n: int = 100, **changes: Any) -> dict[str, Any]:
    """A result over classes neutral and happiness; ``right`` of n predictions are right."""
    label = np.arange(n) % 2
    pred = np.where(np.arange(n) < right, label, 1 - label)
    table = Predictions(np.arange(n), ["x"] * n, label, 2.0 * np.eye(8)[pred], NAMES)
    return dict(
        validate_result(
            {
                "schema_version": SCHEMA_VERSION,
                "dataset": "ferplus",
                "protocol": "ferplus@majority",
                "split": "test",
                "evaluation_set": "FER2013Test, majority of the votes",
                **evaluate(table),
                "selection": {"rule": "best", "monitor": "val/accuracy", "split": "val", "epoch": 14, "value": 0.8},
                "seed": 0,
                "config": {},
                "cost": {},
                "git": None,
                "versions": {},
                "hardware": {},
                **changes,
            }
        )
    )


def job(seed: int = 0, error: str | None = None, outcome: dict[str, Any] | None = None, **axes: Any) -> dict[str, Any]:
    if error:
        return {**axes, "seed": seed, "status": "failed", "result": None, "error": error}
    return {**axes, "seed": seed, "status": "finished", "result": outcome or result(), "error": None}


@pytest.fixture
def console() -> Console:
    return Console(width=80, record=True, color_system=None, file=io.StringIO())


def printed(console: Console) -> str:
    text = console.export_text()
    assert max(len(line) for line in text.splitlines()) <= 80
    return text


def lines(text: str, start: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines() if line.strip().startswith(start)]


class TestResult:
    def test_shows_protocol_metrics_and_interval(self, console: Console, tmp_path: Path) -> None:
        print_result(result(90), tmp_path, console)
        text = console.export_text()
        assert "ferplus@majority, split test: 100 faces, 8 classes" in text
        assert "FER2013Test, majority of the votes" in text
        assert lines(text, "accuracy") == ["accuracy 90.00 % 95% interval 82.56 to 94.48 (Wilson)"]
        assert lines(text, "neutral") == ["neutral 50 90.00 90.00 90.00"]
        assert lines(text, "contempt") == ["contempt 0 – – –"]
        assert lines(text, "Cohen") == ["Cohen's kappa 0.8000"]
        assert "Checkpoint: best, epoch 15, val/accuracy 0.8000." in text
        assert "No samples of surprise" in text
        assert "selection result" not in text

    def test_shows_intervals_and_reference_of_a_newer_result(self, console: Console, tmp_path: Path) -> None:
        metrics = {**result()["metrics"], "kl_to_votes": 0.4, "cross_entropy_to_votes": 1.2}
        intervals = {"macro_f1": [0.7, 0.8], "cross_entropy_to_votes": [1.1, 1.3], "cohen_kappa": None}
        annotators = {"single_annotator": 0.712, "fleiss_kappa": 0.5, "by_agreement": []}
        print_result(result(metrics=metrics, intervals=intervals, annotators=annotators), tmp_path, console)
        text = console.export_text()
        assert max(len(line) for line in text.splitlines() if not line.startswith("Run:")) <= 80  # a path never wraps
        assert lines(text, "macro F1") == ["macro F1 75.00 % 70.00 to 80.00"]
        assert lines(text, "cross-entropy") == ["cross-entropy to the votes 1.2000 nats 1.1000 to 1.3000"]
        assert lines(text, "Cohen") == ["Cohen's kappa 0.5000"]
        assert "A single annotator agrees with the others on 71.20%" in text

    def test_selection_result_is_marked(self, console: Console, tmp_path: Path) -> None:
        print_result(result(split="val"), tmp_path, console)
        assert "split val" in (text := console.export_text())
        assert "a selection result, not a test result" in text

    def test_shows_the_run_folder_and_the_available_figures(
        self, console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = tmp_path / "runs" / "a-very-long-name-of-a-sweep-that-does-not-fit-into-80-columns [1]" / "0123456789"
        (run / "figures").mkdir(parents=True)
        (run / "figures" / "confusion.png").touch()
        monkeypatch.chdir(tmp_path)
        print_result(result(), run, console)
        where = run.relative_to(tmp_path)
        text = console.export_text()
        assert f"Run:     {where}\n" in text  # on one line, to be copied
        assert f"Figures: {where}/figures/confusion.png\n" in text

    def test_fits_into_80_columns(self, console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        long = "the images of the test folder that have a label and are readable, " * 3
        votes = evaluate(
            Predictions([0, 1], ["", ""], [0, 1], np.eye(8)[:2], NAMES, votes=np.ones((2, 8)), vote_names=NAMES)
        )
        print_result(result(n=2, right=2, evaluation_set=long, metrics=votes["metrics"]), "runs/one", console)
        text = printed(console)
        assert "KL(votes || prediction)" in text
        assert "cross-entropy to the votes" in text

    def test_undefined_metrics_are_shown_as_dashes(self, console: Console, tmp_path: Path) -> None:
        changed = result()
        changed["metrics"]["cohen_kappa"] = None
        print_result(changed, tmp_path, console)
        assert lines(console.export_text(), "Cohen") == ["Cohen's kappa –"]


class TestSweep:
    def test_shows_mean_and_sample_deviation_over_seeds(self, console: Console) -> None:
        rows = [job(s, loss=loss, outcome=result(right)) for loss, rights in (("ce", (80, 84)), ("dsf", (90, 90)))
                for s, right in enumerate(rights)]  # fmt: skip
        print_sweep(rows, console)
        text = printed(console)
        # deviation of 80 and 84 with n - 1: sqrt(8)
        assert lines(text, "ce")[0].startswith("ce 82.00 ± 2.83")
        assert lines(text, "ce")[0].endswith("2 seeds")
        assert lines(text, "dsf")[0].startswith("dsf 90.00 ± 0.00")
        assert "sample standard deviation over seeds" in text

    def test_only_varied_axes_are_columns(self, console: Console) -> None:
        rows = [job(s, dataset="ferplus", loss=loss, attention=a) for s in (0, 1) for loss in ("ce", "dsf")
                for a in ("ds", "none")]  # fmt: skip
        print_sweep(rows, console)
        text = printed(console)
        assert lines(text, "loss")[0].startswith("loss attention accuracy %")
        assert [line.split()[:2] for line in lines(text, "ce") + lines(text, "dsf")] == [
            ["ce", "ds"], ["ce", "none"], ["dsf", "ds"], ["dsf", "none"]
        ]  # fmt: skip

    def test_one_seed_has_no_spread(self, console: Console) -> None:
        print_sweep([job(loss="ce"), job(loss="dsf")], console)
        line = lines(text := printed(console), "ce")[0]
        assert line == "ce 75.00 75.00 75.00 1 seed"
        assert text.count("±") == 1  # in the explanation only

    def test_sweep_over_seeds_is_one_line(self, console: Console) -> None:
        print_sweep([job(0), job(1)], console)
        assert lines(printed(console), "all")[0].endswith("2 seeds")

    def test_repeated_seed_is_counted_as_runs(self, console: Console) -> None:
        print_sweep([job(0), job(0)], console)
        assert lines(printed(console), "all")[0].endswith("2 runs")

    @pytest.mark.parametrize(
        "other",
        [
            {"protocol": "ferplus@argmax8"},
            {"split": "val"},
            {"evaluation_set": "FER2013Test, csv pair"},
        ],
        ids=lambda change: next(iter(change)),
    )
    def test_results_that_cannot_be_compared_are_in_separate_tables(
        self, console: Console, other: dict[str, str]
    ) -> None:
        print_sweep([job(0, loss="ce"), job(1, loss="ce", outcome=result(25, **other)), job(0, loss="dsf")], console)
        text = printed(console)
        assert text.count("accuracy %") == 2
        assert len(lines(text, "ce")) == 2
        assert "±" not in "".join(lines(text, "ce"))
        assert len(lines(text, "ferplus@")) == 2
        assert ("not a test result" in text) == ("split" in other)

    def test_different_numbers_of_faces_are_separate_sets(self, console: Console) -> None:
        print_sweep([job(0), job(1, outcome=result(n=98))], console)
        assert [line.split(": ")[1] for line in lines(printed(console), "ferplus@")] == [
            "100 faces, 8 classes",
            "98 faces, 8 classes",
        ]

    def test_failed_jobs_are_listed_with_their_reason(self, console: Console) -> None:
        reason = "The loss became NaN at epoch 3:\nlower [optimizer.lr]."
        rows = [job(0, loss="ce"), job(1, loss="ce", error=reason), job(0, loss="lgm", error="no memory")]
        rows.append({"loss": "dsf", "seed": 0, "status": "killed", "result": None, "error": None})
        print_sweep(rows, console)
        text = printed(console)
        assert lines(text, "ce")[0] == "ce 75.00 75.00 75.00 1 of 2 seeds"
        assert "3 jobs without a result:" in text
        assert "loss=ce seed=1: The loss became NaN at epoch 3: lower [optimizer.lr]." in " ".join(text.split())
        assert lines(text, "loss=lgm") == ["loss=lgm seed=0: no memory"]
        assert lines(text, "loss=dsf") == ["loss=dsf seed=0: status killed, no reason was recorded"]

    def test_only_failures_and_empty_sweeps(self, console: Console) -> None:
        print_sweep([job(0, error="no data")], console)
        print_sweep([], console)
        text = printed(console)
        assert "1 job without a result:\n  seed=0: no data" in text
        assert "The sweep has no jobs." in text
        assert "±" not in text

    def test_many_axes_with_long_names_fit_into_80_columns(self, console: Console) -> None:
        rows = [
            job(s, **{"loss": loss, "backbone.drop_path_rate": d, "optimizer.weight_decay": 0.05, "attention": a})
            for s in (0, 1) for loss in ("ce", "dsf") for d in (0.1, 0.25) for a in ("ds_depthwise", "none")
        ]  # fmt: skip
        print_sweep(rows, console)
        text = printed(console)
        assert text.count("75.00 ± 0.00") == 3 * 8
