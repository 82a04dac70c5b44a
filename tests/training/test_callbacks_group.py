"""Callbacks by name: Lightning's, ours and a plugin's, with their own arguments; and rejected ones."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch.callbacks as theirs
import pytest
import torch
import yaml
from commands.conftest import FEW, Mfer, only_run
from config.test_compose import composed
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, RichProgressBar, TQDMProgressBar

import mfer_lightning.callbacks as ours
from mfer_lightning import load_model
from mfer_lightning.callbacks import History, RunCheckpoint
from mfer_lightning.config.location import choices, config_dir
from mfer_lightning.errors import UserError
from mfer_lightning.inference.checkpoint import read_checkpoint
from mfer_lightning.module import FERModule
from mfer_lightning.sweeps.identity import run_name
from mfer_lightning.training.build_trainer import build_callbacks, build_trainer
from mfer_lightning.training.user_callbacks import REFUSED, build_user_callbacks

#: A run of two epochs of two batches.
QUICK = (*FEW, "ema=none", "loss=ce")
GROUP = {
    name: yaml.safe_load((config_dir() / "callbacks" / f"{name}.yaml").read_text())[name]
    for name in choices("callbacks")
}


def build(*overrides: str) -> list[Callback]:
    return build_user_callbacks(composed(*overrides), Path("runs/a"))


def built(config: dict[str, Any], run_dir: Path) -> list[Callback]:
    return build_callbacks(config, run_dir, "accuracy", History(run_dir / "metrics.csv"))


def test_every_public_callback_is_available_or_rejected_with_a_reason() -> None:
    offered = {node["_target_"] for node in GROUP.values()}
    usable = {"EarlyStop", "WeightAveraging"}  # early_stopping=default; the base class of two that are offered
    for module in (theirs, ours):
        kinds = {n for n in module.__all__ if isinstance(k := getattr(module, n), type) and issubclass(k, Callback)}
        named = {target.rpartition(".")[2] for target in offered if target.startswith(f"{module.__name__}.")}
        assert not kinds - named - set(REFUSED) - usable, "give it a file in conf/callbacks, or a reason in REFUSED"
        assert not named & set(REFUSED)


@pytest.mark.parametrize("name", GROUP)
def test_config_file_lists_class_arguments_with_documented_defaults(name: str, tmp_path: Path) -> None:
    (tmp_path / "w.pth").touch()
    (callback,) = build(f"callbacks={name}", "logger=tensorboard", f"weights={tmp_path}/w.pth", "ema=none")
    assert f"{type(callback).__module__}.{type(callback).__name__}".startswith(("lightning.", "mfer_lightning."))
    assert type(callback).__name__ == GROUP[name]["_target_"].rpartition(".")[2]


def test_several_callbacks_can_be_combined_changed_added_and_removed() -> None:
    config = composed(
        "callbacks=[timer,model_checkpoint]",
        "callbacks.timer.interval=epoch",
        "callbacks.model_checkpoint.monitor=val/macro_f1",
        "callbacks.model_checkpoint.every_n_epochs=2",
        "+callbacks.summary._target_=lightning.pytorch.callbacks.ModelSummary",
        "+callbacks.summary.max_depth=3",
    )
    timer, checkpoint, summary = build_user_callbacks(config, Path("runs/a"))
    assert timer._interval == "epoch"  # type: ignore[attr-defined]
    assert checkpoint.monitor == "val/macro_f1"  # type: ignore[attr-defined]
    assert checkpoint.dirpath == str(Path("runs/a/checkpoints/model_checkpoint").absolute())  # type: ignore[attr-defined]
    assert summary._max_depth == 3  # type: ignore[attr-defined]
    assert build("callbacks=[timer,model_checkpoint]", "~callbacks.timer", "callbacks.model_checkpoint=null") == []
    assert run_name(composed("callbacks=[]")) == run_name(composed()) != run_name(config)


def test_callback_order_is_ours_then_user_then_run_checkpoints(tmp_path: Path) -> None:
    config = composed("callbacks=[model_checkpoint,timer]", "trainer.accelerator=cpu")
    kinds = [type(c).__name__ for c in built(config, tmp_path)]
    assert kinds[:2] == ["FiniteLossGuard", "History"]
    assert kinds.index("Timer") < kinds.index("SlowLoader") < kinds.index("RunCheckpoint"), (
        "time spent in other callbacks must not count as waiting for data"
    )
    assert kinds[-1] == "ModelCheckpoint"
    trainer = build_trainer(config, tmp_path, "accuracy", History(tmp_path / "metrics.csv"))
    assert isinstance(trainer.checkpoint_callback, RunCheckpoint)
    assert trainer.checkpoint_callback.filename == "best"


@pytest.mark.parametrize(
    ("name", "kind"), [("tqdm_progress_bar", TQDMProgressBar), ("rich_progress_bar", RichProgressBar)]
)
def test_progress_bar_callback_replaces_the_default_one(name: str, kind: type, tmp_path: Path) -> None:
    config = composed(f"callbacks={name}", "trainer.accelerator=cpu")
    trainer = build_trainer(config, tmp_path, "accuracy", History(tmp_path / "metrics.csv"))
    assert type(trainer.progress_bar_callback) is kind
    assert "EpochLines" not in [type(c).__name__ for c in trainer.callbacks]  # type: ignore[attr-defined]


@pytest.mark.parametrize(("wanted", "kind"), [("true", "FERProgressBar"), ("false", "EpochLines")])
def test_progress_bar_or_lines_can_be_chosen(wanted: str, kind: str, tmp_path: Path) -> None:
    config = composed(f"trainer.enable_progress_bar={wanted}", "trainer.accelerator=cpu")
    assert kind in [type(c).__name__ for c in built(config, tmp_path)]
    build_trainer(config, tmp_path, "accuracy", History(tmp_path / "metrics.csv"))


L = "lightning.pytorch.callbacks"


MISTAKES: list[tuple[str, tuple[str, ...]]] = [
    ("callbacks=timr", ("callbacks=timr", "'timer'")),
    ("callbacks=[timer,timr]", ("callbacks=timr", "'timer'")),
    ("callbacks=timer callbacks.timer.duraton=1", ("callbacks.timer has no option `duraton`", "'duration'")),
    ("callbacks=timer callbacks.timer.duration=soon", ("callbacks.timer", "DD:HH:MM:SS")),
    ("callbacks=model_checkpoint callbacks.model_checkpoint.mode=most", ("callbacks.model_checkpoint", "mode")),
    ("callbacks=lr_monitor", ("callbacks.lr_monitor", "logger=tensorboard")),
    ("callbacks=device_stats", ("callbacks.device_stats", "logger=tensorboard")),
    ("callbacks.timr.duration=3", ("callbacks.timr", "_target_")),
    ("+callbacks.x=3", ("callbacks.x", "_target_")),
    ("+callbacks.x._target_=os.system +callbacks.x.command=true", ("callbacks.x", "os.system", "is not allowed")),
    (f"+callbacks.x._target_={L}.Timr", ("callbacks.x", "'Timer'")),
    (f"+callbacks.x._target_={L}.timer.Timer", ("callbacks.x", "is not allowed")),
    (f"+callbacks.x._target_={L}.model_checkpoint", ("callbacks.x", "no such public class")),
    ("+callbacks.x._target_=lightning.pytorch.Trainer", ("callbacks.x", "is not allowed")),
    ("+callbacks.x._target_=mfer_lightning.losses.DSFLoss", ("callbacks.x", "not a Callback")),
    ("+callbacks.x._target_=mfer_lightning.callbacks.StepTimes", ("callbacks.x", "not a Callback")),
    ("+callbacks.x._target_=mfer_lightning.callbacks.AtomicCheckpointIO", ("callbacks.x", "not a Callback")),
    ("+callbacks.x._target_=mfer_lightning.callbacks.TrainingDivergedError", ("callbacks.x", "not a Callback")),
    (
        f"+callbacks.x={{_target_:{L}.Timer,duration:{{_target_:os.system,command:id}}}}",
        ("os.system", "is not allowed"),
    ),
    ("callbacks=ema ema=default", ("callbacks.ema and ema", "Keep one")),
    ("callbacks=[ema,weight_averaging]", ("callbacks.ema and callbacks.weight_averaging", "Keep one")),
    ("callbacks=[tqdm_progress_bar,rich_progress_bar]", ("ProgressBar", "Keep one")),
    ("callbacks=early_stopping early_stopping=default", ("callbacks.early_stopping and early_stopping", "Keep")),
    ("callbacks=timer trainer.max_time=00:00:01:00", ("callbacks.timer and trainer.max_time", "Keep one")),
    ("callbacks=model_summary trainer.enable_model_summary=true", ("trainer.enable_model_summary", "Keep one")),
    ("callbacks=centers loss=dsf loss.centers_from_data=true", ("loss.centers_from_data", "Keep one")),
    ("callbacks=freeze", ("callbacks.freeze", "weights=imagenet")),
    *((f"+callbacks.x._target_={L}.{name}", (name, REFUSED[name])) for name in REFUSED if hasattr(theirs, name)),
    *(
        (f"+callbacks.x._target_=mfer_lightning.callbacks.{name}", (name, REFUSED[name]))
        for name in REFUSED
        if hasattr(ours, name)
    ),
]


@pytest.mark.parametrize(
    ("command", "words"),
    [*MISTAKES[:10], *(pytest.param(*mistake, marks=pytest.mark.slow) for mistake in MISTAKES[10:])],
)
def test_mistake_raises_one_clear_error_before_data_are_read(
    command: str, words: tuple[str, ...], mfer: Mfer, capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    assert mfer(*QUICK, *command.split(), "paths.data=nowhere") == 2
    message = capsys.readouterr().err
    assert all(word in message for word in words), message
    assert len([line for line in message.splitlines() if line.startswith("Error")]) == 1
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_unknown_metric_raises_one_clear_error(mfer: Mfer, capsys: pytest.CaptureFixture) -> None:
    for name in ("early_stopping", "model_checkpoint"):
        assert mfer(*QUICK, f"callbacks={name}", f"callbacks.{name}.monitor=val/acuracy", f"name={name}") == 2
        assert "val/acuracy" in capsys.readouterr().err


def test_run_with_callbacks_writes_their_files_and_selects_as_before(mfer: Mfer, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    options = ("callbacks=[model_checkpoint,lr_monitor,on_exception_checkpoint,model_summary,device_stats]",)
    assert mfer(*QUICK, *options, "logger=tensorboard", "callbacks.lr_monitor.logging_interval=step") == 0
    run = only_run(tmp_path / "runs")
    found = sorted(f.relative_to(run / "checkpoints").as_posix() for f in (run / "checkpoints").rglob("*.ckpt"))
    assert found[:2] == ["best.ckpt", "last.ckpt"]
    assert found[2:] == [f"model_checkpoint/epoch={n}-step={2 * n + 2}.ckpt" for n in range(2)]
    result = json.loads((run / "result.json").read_text())
    assert result["config"]["callbacks"]["lr_monitor"]["logging_interval"] == "step"
    assert load_model(run).class_names


@pytest.mark.slow
def test_ema_callback_equals_the_ema_option(mfer: Mfer, tmp_path: Path) -> None:
    assert mfer(*QUICK, "callbacks=ema", "name=callback") == 0
    assert mfer(*QUICK, "ema=default", "name=group") == 0
    one, other = (only_run(tmp_path / "runs" / name) for name in ("callback", "group"))
    mine, theirs_ = (read_checkpoint(run / "checkpoints" / "last.ckpt")["state_dict"] for run in (one, other))
    assert all(torch.equal(mine[name], theirs_[name]) for name in theirs_)


@pytest.mark.slow
def test_lightning_early_stopping_stays_stopped_and_callbacks_keep_their_state(
    mfer: Mfer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = ("callbacks=[early_stopping,weight_averaging]", "callbacks.early_stopping.patience=2", "optimizer.lr=1e-12")
    options = (*QUICK, *stop, "trainer.max_epochs=9")
    begin = FERModule.on_train_epoch_start

    def interrupt(self: FERModule) -> None:
        if self.current_epoch == 2:
            raise KeyboardInterrupt
        begin(self)

    with monkeypatch.context() as patch:
        patch.setattr(FERModule, "on_train_epoch_start", interrupt)
        assert mfer(*options) == 130
    assert mfer(*options) == 0
    run = only_run(tmp_path / "runs")
    rows = (run / "metrics.csv").read_text().splitlines()[1:]
    assert len(rows) == 3, "epochs without improvement before the interruption count as well"
    (run / "result.json").unlink()  # killed after its last epoch
    assert mfer(*options) == 0
    assert (run / "metrics.csv").read_text().splitlines()[1:] == rows


@pytest.mark.slow
def test_late_weight_averaging_uses_lightning(mfer: Mfer, tmp_path: Path) -> None:
    late = ("callbacks=weight_averaging", "callbacks.weight_averaging.update_starting_at_epoch=1")
    assert mfer(*QUICK, *late) == 0
    assert "averaging_state" in read_checkpoint(only_run(tmp_path / "runs") / "checkpoints" / "last.ckpt")


@pytest.mark.slow
def test_sweep_over_callbacks_names_each_run(mfer: Mfer, tmp_path: Path) -> None:
    options = (*QUICK, "trainer.max_epochs=1", "paths.runs=sweeps", "name=s", "report=false")
    assert mfer("-m", *options, "callbacks=[],[ema],[ema,timer]") == 0
    assert len(list((tmp_path / "sweeps" / "s").glob("*/result.json"))) == 3


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A user's package with a callback."""
    (tmp_path / "my_callbacks.py").write_text(
        "from pathlib import Path\n"
        "from lightning.pytorch.callbacks import Callback\n"
        "class Count(Callback):\n"
        "    def __init__(self, file: str = 'count.txt') -> None:\n"
        "        self.file, self.batches = Path(file), 0\n"
        "    def on_train_batch_end(self, *_):\n"
        "        self.batches += 1\n"
        "    def on_train_end(self, *_):\n"
        "        self.file.write_text(str(self.batches))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("my_callbacks", None)


@pytest.mark.slow
def test_plugin_callback_can_be_named_by_its_class(lab: None, mfer: Mfer, tmp_path: Path) -> None:
    count = ("plugins=[my_callbacks]", "+callbacks.count._target_=my_callbacks.Count", "+callbacks.count.file=n.txt")
    assert mfer(*QUICK, *count) == 0
    assert (tmp_path / "n.txt").read_text() == "4"


def test_callbacks_in_a_checkpoint_are_never_instantiated(
    few_run: Path, mfer: Mfer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def stored(**node: str) -> Path:
        checkpoint = torch.load(few_run / "checkpoints" / "best.ckpt", weights_only=True)
        checkpoint["mfer"]["config"]["callbacks"] = {"x": node}
        torch.save(checkpoint, tmp_path / "odd.ckpt")
        return tmp_path / "odd.ckpt"

    built: list[object] = []
    monkeypatch.setattr(ModelCheckpoint, "__init__", lambda *_, **__: built.append(1))
    path = stored(_target_="lightning.pytorch.callbacks.ModelCheckpoint", dirpath=str(tmp_path / "touched"))
    assert load_model(path).class_names
    assert mfer("evaluate", f"checkpoint={path}", "output=again") == 0
    path = stored(_target_="os.system", command=f"touch {tmp_path / 'touched'}")
    assert mfer("evaluate", f"checkpoint={path}", "output=again") == 2
    assert "names `os.system`, which is not allowed: only names" in capsys.readouterr().err
    assert not built
    assert not (tmp_path / "touched").exists()


def test_callback_without_target_explains_how_to_add_one() -> None:
    with pytest.raises(UserError, match=r"\+callbacks\.x\._target_=lightning\.pytorch\.callbacks\.Timer"):
        build_user_callbacks({**composed(), "callbacks": {"x": {"duration": 3}}}, Path("a"))
    assert isinstance(build("callbacks=model_checkpoint")[0], ModelCheckpoint)
