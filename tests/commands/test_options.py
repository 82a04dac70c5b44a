"""Effects of training options on a run: freezing, early stopping, profiling, debug recipes, compilation."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
import torch
from commands.conftest import FACS, FEW, Mfer, only_run
from commands.test_train import result_of

from mfer_lightning.callbacks import EarlyStop, FreezeBackbone, compilation
from mfer_lightning.inference.checkpoint import read_checkpoint
from mfer_lightning.module import FERModule


def rows_of(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def weights_of(run: Path, key: str = "state_dict") -> dict[str, torch.Tensor]:
    return read_checkpoint(run / "checkpoints" / "last.ckpt")[key]


def is_pretrained(name: str) -> bool:
    return name.startswith("network.backbone.model.") and ".attention." not in name


@pytest.fixture
def pretrained(few_run: Path) -> Path:
    """A checkpoint to start from."""
    return few_run / "checkpoints" / "last.ckpt"


@pytest.mark.slow
def test_frozen_backbone_unfreezes_on_schedule_and_resumes_exactly(
    mfer: Mfer, tmp_path: Path, pretrained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = (*FEW, f"weights={pretrained}", "freeze=backbone", "freeze.epochs=1", "trainer.max_epochs=3")
    start = read_checkpoint(pretrained)["state_dict"]  # weights of the moving average, which weights= loads
    seen: list[tuple[int, bool]] = []
    begin = FERModule.on_train_epoch_start

    def look(self: FERModule) -> None:
        mine = self.state_dict()
        seen.append((self.current_epoch, all(torch.equal(mine[n], start[n]) for n in start if is_pretrained(n))))
        begin(self)

    with monkeypatch.context() as patch:
        patch.setattr(FERModule, "on_train_epoch_start", look)
        assert mfer(*options, "name=whole") == 0
    assert seen == [(0, True), (1, True), (2, False)]

    for cut_at in (1, 2):  # resumed at the boundary and after it

        def interrupt(self: FERModule, epoch: int = cut_at) -> None:
            if self.current_epoch == epoch:
                raise KeyboardInterrupt
            begin(self)

        with monkeypatch.context() as patch:
            patch.setattr(FERModule, "on_train_epoch_start", interrupt)
            assert mfer(*options, "name=cut") == 130
    assert mfer(*options, "name=cut") == 0
    whole, cut = (only_run(tmp_path / "runs" / name) for name in ("whole", "cut"))
    for key in ("state_dict", "current_model_state"):
        ours, theirs = weights_of(cut, key), weights_of(whole, key)
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs), key
    assert result_of(cut)["metrics"] == result_of(whole)["metrics"]


def test_freezing_throughout_is_a_linear_probe(mfer: Mfer, tmp_path: Path, pretrained: Path) -> None:
    options = (f"weights={pretrained}", "freeze=backbone", "freeze.epochs=null", "ema=none", "name=probe")
    assert mfer(*FEW, *options, "trainer.max_epochs=1") == 0
    start, end = read_checkpoint(pretrained)["state_dict"], weights_of(only_run(tmp_path / "runs" / "probe"))
    learned = {name for name in start if name.startswith("network.") and not torch.equal(end[name], start[name])}
    assert learned
    assert not [name for name in learned if is_pretrained(name)]


@pytest.mark.slow
def test_early_stopping_ends_the_run_and_reports_why(mfer: Mfer, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    options = ("early_stopping=default", "early_stopping.patience=1", "optimizer.lr=1e-12", "trainer.max_epochs=9")
    assert mfer(*FEW, *options) == 0
    run = only_run(tmp_path / "runs")
    assert len(rows_of(run)) == 2
    assert result_of(run)["cost"]["epochs"] == 2
    stopped = r"Stopped early: val/accuracy has not risen above 0\.\d{4} by more than min_delta for 1 epoch\."
    assert re.search(stopped, capsys.readouterr().out)
    (run / "result.json").unlink()  # killed after its last epoch
    assert mfer(*FEW, *options) == 0
    assert len(rows_of(run)) == 2, "a run that had stopped does not go on"


@pytest.mark.slow
def test_profiler_writes_its_report_and_keeps_the_run_name(mfer: Mfer, tmp_path: Path, few_run: Path) -> None:
    assert mfer(*FEW, "trainer.profiler=simple") == 0
    run = only_run(tmp_path / "runs")
    assert "run_training_epoch" in (run / "profile" / "fit-simple.txt").read_text()
    assert run.name == few_run.name


@pytest.mark.slow
def test_network_can_overfit_two_batches(mfer: Mfer, tmp_path: Path) -> None:
    options = ("debug=overfit", "loader.batch_size=8", "optimizer.lr=4e-3", "evaluation.embedding_points=0")
    assert mfer(*FACS, "trainer.max_epochs=60", *options) == 0
    run = only_run(tmp_path / "runs")
    losses = [float(row["train/classification"]) for row in rows_of(run)]
    assert losses[0] > 3
    assert losses[-1] < 0.05
    assert "16 of 64 training faces" in " ".join(result_of(run)["notes"])


def test_fast_dev_run_leaves_no_files(mfer: Mfer, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert mfer(*FEW, "debug=fast_dev_run") == 0
    assert not [f for f in (tmp_path / "runs").rglob("*") if f.is_file()]
    assert "One training batch and one validation batch were processed" in capsys.readouterr().out


def test_limit_below_one_batch_raises_one_clear_error(mfer: Mfer, capsys: pytest.CaptureFixture) -> None:
    assert mfer(*FEW, "debug=limit") == 2
    message = capsys.readouterr().err
    assert "limit_train_batches" in message
    assert "Traceback" not in message


@pytest.mark.slow
def test_limited_run_uses_the_requested_fraction(mfer: Mfer, tmp_path: Path) -> None:
    assert mfer(*FACS, "debug=limit", "trainer.limit_train_batches=0.5", "trainer.limit_val_batches=1.0") == 0
    assert [row["step"] for row in rows_of(only_run(tmp_path / "runs"))] == ["2", "4"]  # FACS sets two epochs


def test_options_without_effect_are_reported(mfer: Mfer, capsys: pytest.CaptureFixture) -> None:
    assert mfer(*FEW, "debug=fast_dev_run", "ema=none", "ema.decay=0.5", "loss=ce", "loss.feature_weight=0.3") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Note: ema.decay=0.5 has no effect with ema=none." in said
    assert "Note: loss.feature_weight=0.3 has no effect with loss=ce." in said


@pytest.mark.slow
def test_long_cpu_training_prints_a_time_estimate_first(
    mfer: Mfer, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mfer_lightning.training.time_estimate.LONG", 0.0)
    assert mfer(*FEW, "debug=fast_dev_run") == 0
    assert "by a rough estimate" not in capsys.readouterr().out  # one batch is not a real training run
    assert mfer(*FEW) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Note: this will take about 0 hours on" in said
    assert "choose fewer epochs (trainer.max_epochs=...)." in said


def test_missing_compiler_gives_one_warning_and_training_continues(
    mfer: Mfer, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object, **options: object) -> object:
        raise RuntimeError("Failed to find a working C++ compiler\nand a long story")

    monkeypatch.setattr(torch, "compile", broken)
    assert mfer(*FEW, "trainer.compile=true", "debug=fast_dev_run") == 0
    said = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("Building the image cache")]
    assert said == [
        "Warning: torch.compile does not work here; continuing without it: Failed to find a working C++ compiler"
    ]


def test_compile_failure_falls_back_at_the_first_batch(
    mfer: Mfer, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compile_badly(self: torch.nn.Module, **options: object) -> None:
        def call(*arguments: object) -> object:
            raise torch._dynamo.exc.TorchDynamoException("no such operator")

        self._compiled_call_impl = call

    monkeypatch.setattr(compilation, "try_compiler", lambda device: None)
    monkeypatch.setattr(torch.nn.Module, "compile", compile_badly)
    assert mfer(*FEW, "trainer.compile=true", "debug=fast_dev_run") == 0
    assert capsys.readouterr().err.count("Warning: torch.compile does not work here") == 1


@pytest.mark.slow
def test_compiled_run_matches_eager_run(mfer: Mfer, tmp_path: Path) -> None:
    for name in ("plain", "compiled"):
        extra = () if name == "plain" else ("trainer.compile=true",)
        assert mfer(*FEW, "trainer.precision=32-true", f"name={name}", *extra) == 0
    plain, compiled = (rows_of(only_run(tmp_path / "runs" / name)) for name in ("plain", "compiled"))
    for one, other in zip(plain, compiled, strict=True):
        assert float(one["train/loss"]) == pytest.approx(float(other["train/loss"]), abs=1e-3)


@pytest.mark.parametrize("options", [{"monitor": "loss"}, {"patience": 0}, {"min_delta": -1.0}])
def test_invalid_early_stopping_arguments_raise_value_error(options: dict) -> None:
    with pytest.raises(ValueError, match=f"`{next(iter(options))}`"):
        EarlyStop(**options)


def test_frozen_layers_depend_only_on_the_epoch() -> None:
    assert not FreezeBackbone(epochs=2).state_dict()
