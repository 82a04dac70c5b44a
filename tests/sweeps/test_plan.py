"""Invalid sweeps are rejected with a one-line error before the first job."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands.conftest import Mfer

from mfer_lightning.sweeps import plan
from mfer_lightning.sweeps.identity import sweep_name
from mfer_lightning.sweeps.search import best_trial, take_up_study
from mfer_lightning.sweeps.study import Study


def refused(mfer: Mfer, folder: Path, capsys: pytest.CaptureFixture, *arguments: str) -> str:
    """Run a command line that is rejected before any file is written, and return its message."""
    before = sorted(folder.iterdir())
    assert mfer(*arguments) == 2
    said = capsys.readouterr()
    assert "job 0" not in said.out
    assert said.err.startswith("Error: ")
    assert said.err.count("\n") == 1
    assert sorted(folder.iterdir()) == before
    return said.err


@pytest.mark.parametrize(
    ("choice", "extra"),
    [
        ("launcher=joblib", "joblib"),
        ("hydra/launcher=joblib", "joblib"),
        ("launcher=submitit_local", "slurm"),
        ("launcher=submitit_slurm", "slurm"),
        ("launcher=ray", "ray"),
        ("sweep=optuna", "optuna"),
    ],
)
def test_missing_extra_error_shows_the_install_command(
    choice: str, extra: str, mfer: Mfer, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "EXTRAS", {k: (f"absent.{m}", e) for k, (m, e) in plan.EXTRAS.items()})
    assert f"pip install -U 'mfer_lightning[{extra}]'" in refused(mfer, tmp_path, capsys, "-m", choice, "seed=0,1")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-m", "loss=ce,dfs"), "Did you mean 'dsf'?"),
        (("-m", "launcher=joblib", "loss=ce,dfs"), "Did you mean 'dsf'?"),
        (("-m", "seed=0,1", "trainer.max_epoch=3"), "Did you mean 'max_epochs'"),
        (("-m", "seed=0,x"), "seed=x: the value must be a whole number"),
        (("-m", "launcher=jobli", "seed=0,1"), "Did you mean 'joblib'?"),
        (("sweep=optunna",), "Did you mean 'optuna'?"),
        (("sweep=optuna", "loss=choice(ce,dfs)"), "Did you mean 'dsf'?"),
        (("sweep=optuna", "optimizer.rl=interval(0.1,0.2)"), "no option `optimizer.rl`"),
        (("sweep=optuna", "seed=interval(0.5,1.5)"), "seed=0.5: the value must be a whole number"),
        (("sweep=optuna", "optimizer.lr=1e-3", "optimizer.weight_decay=0.1"), "nothing to search"),
        (("sweep=optuna", "dataset=ferplus", "dataset.protocol=ran"), "selects nothing on val"),
        (("sweep=optuna", "dataset=rafdb", "dataset.protocol=paper"), "selects on the test set"),
        (("sweep=optuna", "hydra.sweeper.n_trials=x"), "hydra.sweeper.n_trials=x: the value must be a whole number"),
        (("sweep=optuna", "hydra.sweeper.n_jobs=0"), "hydra.sweeper.n_jobs=0: the value must be a whole number"),
        (("sweep=optuna", "hydra.sweeper.max_failure_rate=2"), "a number from 0 to 1"),
        (("sweep=optuna", "hydra.sweeper.direction=up"), "must be maximize or minimize"),
        (("-m", "launcher=submitit_local", "hydra.launcher.tasks_per_node=2", "seed=0,1"), "supports only 1"),
        (("align", "-m", "launcher=joblib", "source=a,b"), "work only with mfer train"),
        (("-m", "hydra/launcher=rq", "seed=0,1"), "hydra/launcher=rq: there is no such choice"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_invalid_sweep_is_rejected_before_the_first_job(
    arguments: tuple[str, ...], message: str, mfer: Mfer, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    if arguments[0] == "sweep=optuna":
        pytest.importorskip("optuna", minversion="4")
    assert message in refused(mfer, tmp_path, capsys, *arguments)


@pytest.mark.parametrize(
    "environment",
    [
        {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"},
        {"SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2", "SLURM_PROCID": "0", "SLURM_JOB_ID": "1"},
    ],
    ids=["torchrun", "srun"],
)
def test_sweep_inside_externally_started_ranks_is_rejected(
    environment: dict[str, str],
    mfer: Mfer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert "without torchrun or srun" in refused(mfer, tmp_path, capsys, "-m", "seed=0,1")


@pytest.mark.slow
def test_study_that_cannot_be_opened_raises_one_clear_error(
    mfer: Mfer, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    pytest.importorskip("optuna", minversion="4")
    (tmp_path / "runs" / "s").mkdir(parents=True)
    (tmp_path / "runs" / "s" / "study.db").write_text("not a database " * 100)
    said = refused(mfer, tmp_path, capsys, "sweep=optuna", "name=s")
    assert "the study cannot be opened" in said
    assert "study.db" in said
    missing = f"hydra.sweeper.storage=sqlite:///{tmp_path}/none/study.db"
    assert "the study cannot be opened" in refused(mfer, tmp_path, capsys, "sweep=optuna", "name=s", missing)


def test_interrupted_trials_resume_first_and_failed_ones_do_not(tmp_path: Path) -> None:
    optuna = pytest.importorskip("optuna", minversion="4")
    storage = f"sqlite:///{tmp_path}/study.db"
    ours = Study(storage, "s", "maximize", wanted=5, seed=None)
    assert take_up_study(ours).started == 0
    study = optuna.load_study(study_name="s", storage=storage)
    space = {"lr": optuna.distributions.FloatDistribution(0.0, 1.0)}
    trials = [study.ask(space) for _ in range(3)]
    study.tell(trials[0], 0.5)
    study.tell(trials[1], state=optuna.trial.TrialState.FAIL)
    progress = take_up_study(ours)
    assert (progress.done, progress.cut) == (1, 1)
    again = optuna.load_study(study_name="s", storage=storage).ask(space)
    assert again.params == trials[2].params
    best = best_trial(ours, [], tmp_path)
    assert (best.number, best.value, best.params) == (0, 0.5, trials[0].params)


def test_older_option_name_is_accepted_next_to_a_transform_of_that_name(
    mfer: Mfer, capsys: pytest.CaptureFixture
) -> None:
    overrides = ["augment=standard", "+augment.flip=0.3", "+augment.rotate=5,20", "paths.runs=there"]
    assert plan.plan_sweep("train", overrides).folder == Path("there") / sweep_name(overrides)
    assert mfer(*overrides[:2], "--cfg", "job") == 0
    assert "flip: 0.3" in capsys.readouterr().out
