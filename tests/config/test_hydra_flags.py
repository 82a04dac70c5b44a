"""Hydra's flags and options: supported, or rejected with a message that names the alternative."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands.conftest import FEW, Mfer

from mfer_lightning.config.flags import primary_config, wants_sweep
from mfer_lightning.config.location import use_config_dirs
from mfer_lightning.config.override_checks import check_overrides
from mfer_lightning.errors import UserError

#: Command line -> required text of the message.
REFUSED = [
    ("hydra.run.dir=elsewhere", "paths.runs=<folder>", "name=<folder>"),
    ("-m seed=0,1 hydra.sweep.subdir=x", "paths.runs=<folder>"),
    ("hydra.job.chdir=true", "the working directory stays"),
    ("hydra.output_subdir=.hydra", "config.yaml"),
    ("hydra/job_logging=default", "log.txt", "hydra.verbose=true"),
    ("evaluate checkpoint=x hydra.run.dir=elsewhere", "mfer evaluate has separate options"),
    ("evaluate checkpoint=x hydra.sweep.dir=elsewhere", "mfer evaluate has separate options"),
    ("data hydra.run.dir=elsewhere", "is not supported"),
    ("--experimental-rerun=x", "can execute code"),
    ("--config-path mine", "--config-dir <folder>"),
    ("-cp mine", "--config-dir <folder>"),
    ("--config-name mine", "no mine.yaml", "--config-dir", "experiment=mine"),
    ("predict --config-name mine", "defaults: [predict, _self_]"),
    ("-m optimizer.lr=interval(1e-4,1e-3)", "add sweep=optuna", "-m optimizer.lr=1e-4,1e-3"),
    ("optimizer.lr=interval(1e-4,1e-3)", "add sweep=optuna"),
    ("-m optimizer.lr=tag(log,interval(1e-4,1e-3))", "add sweep=optuna"),
    ("evaluate -m checkpoint=x loader.num_workers=interval(1,2)", "-m loader.num_workers=1,2"),
    ("loss=[ce,dsf]", "loss takes one choice", "-m loss=ce,dsf"),
    ("-m loss=[ce,dsf] seed=0,1", "-m loss=ce,dsf"),
    ("-m loss=[ce],[dsf]", "-m loss=ce,dsf"),
    ("-m loss=ce,[dsf,lgm]", "-m loss=ce,dsf,lgm"),
    ("dataset=[facs]", "without brackets: dataset=facs"),
    ("data dataset=[facs]", "without brackets: dataset=facs"),
    ("evaluate checkpoint=x dataset=[facs]", "one value, not a list"),
]


@pytest.mark.parametrize("line", REFUSED, ids=[line[0] for line in REFUSED])
def test_unsupported_flag_is_rejected_in_one_line_and_leaves_no_files(
    line: tuple[str, ...], mfer: Mfer, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    assert mfer(*line[0].split()) == 2
    message = capfd.readouterr().err
    assert all(words in message for words in line[1:]), message
    assert message.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_flags_without_effect_are_accepted() -> None:
    further_rank = ['hydra.run.dir="."', "hydra.job.name=train_ddp_process_1", "hydra.output_subdir=null"]
    check_overrides(further_rank, "train")  # added by Lightning to the command line of other ranks
    check_overrides(["hydra.job.chdir=false", "hydra.output_subdir=null", "hydra/job_logging=none"], "train")
    check_overrides(["hydra.job.chdir=False", "hydra.verbose=true", "hydra.sweep.dir=x"], "train")


def test_recipes_and_multi_choice_groups_accept_lists(tmp_path: Path) -> None:
    check_overrides(["experiment=[a,b]", "debug=[smoke]"], "train")
    for name in ("one", "two"):
        (tmp_path / "extras").mkdir(exist_ok=True)
        (tmp_path / "extras" / f"{name}.yaml").write_text(f"# {name}.\n{name}: {{ size: 1 }}\n")
    use_config_dirs(["--config-dir", str(tmp_path)])
    try:
        check_overrides(["extras=[one,two]"], "train")
    finally:
        use_config_dirs(())
    with pytest.raises(UserError, match="one choice"):
        check_overrides(["optimizer=[sgd,adamw]"], "train")


@pytest.mark.parametrize(
    "sweep", ["loss=choice(ce,nothing)", "loss=glob(qq*)", "loss=glob([qq*,rr*])", "loss=tag(a,choice(ce,nothing))"]
)
def test_hydra_sweep_syntax_is_supported(sweep: str, mfer: Mfer, capfd: pytest.CaptureFixture) -> None:
    assert mfer("-m", sweep, "seed=x") == 2
    assert "Traceback" not in capfd.readouterr().err


def test_hydra_mode_is_equivalent_to_the_multirun_flag() -> None:
    assert wants_sweep([], ["hydra.mode=MULTIRUN", "seed=0,1"])
    assert not wants_sweep(["-m"], ["hydra.mode=RUN"])

    assert wants_sweep(["-m"], ["hydra.mode=null"])
    assert wants_sweep([], ["++hydra.mode='MULTIRUN'"])


@pytest.mark.parametrize("verb", ["train", "evaluate"])
@pytest.mark.parametrize("mode", ["hydra.mode=RUN", "hydra.mode='RUN'", "++hydra.mode=RUN"])
def test_hydra_mode_that_contradicts_the_multirun_flag_is_rejected(
    verb: str, mode: str, mfer: Mfer, capfd: pytest.CaptureFixture
) -> None:
    assert mfer(verb, "-m", mode, "seed=0,1" if verb == "train" else "checkpoint=a,b") == 2
    assert "hydra.mode=RUN starts a single run, but -m starts a sweep." in capfd.readouterr().err


def test_verb_can_follow_flags(mfer: Mfer, capfd: pytest.CaptureFixture) -> None:
    assert mfer("--cfg", "job", "predict", "checkpoint=a", "source=b") == 0
    assert "source: b" in capfd.readouterr().out


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "quick.yaml").write_text("defaults:\n  - train\n  - override loss: ce\n  - _self_\nseed: 7\n")
    (folder / "gallery.yaml").write_text("defaults: [predict, _self_]\nfaces: largest\n")
    return folder


def test_config_name_selects_a_file_of_config_dir(mine: Path, mfer: Mfer, capfd: pytest.CaptureFixture) -> None:
    assert mfer("--config-dir", str(mine), "--config-name", "quick", "--cfg", "job") == 0
    composed = capfd.readouterr().out
    assert "seed: 7" in composed
    assert "name: ce\n" in composed
    assert mfer("predict", f"-cd={mine}", "-cn=gallery.yaml", "checkpoint=a", "source=b", "--cfg", "job") == 0
    assert "faces: largest" in capfd.readouterr().out
    assert mfer(f"-cd={mine}", "-cn=quick", "lr=1e-3") == 2
    assert "optimizer.lr=1e-3" in capfd.readouterr().err
    assert primary_config(["--config-name=train"], "train") == "train"


@pytest.mark.slow
def test_config_name_hydra_sweep_dir_and_verbose_are_respected(
    mine: Path, mfer: Mfer, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    line = ["-m", f"-cd={mine}", "-cn=quick", "hydra.sweep.dir=here/swept", "hydra.verbose=true", "report=false"]
    assert mfer(*line, *FEW, "trainer.max_epochs=1", "seed=7,8") == 0, capfd.readouterr().err
    runs = sorted((tmp_path / "here" / "swept").glob("*/result.json"))
    configs = [json.loads(run.read_text())["config"] for run in runs]
    assert {(c["loss"]["name"], c["seed"]) for c in configs} == {("ce", 7), ("ce", 8)}
    assert " DEBUG " in (runs[0].parent / "log.txt").read_text()
    assert not (tmp_path / "runs").exists()
