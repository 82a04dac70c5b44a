"""`docs/wandb_sweep.yaml`: W&B's agent expands its command to a command line that trains under the agent's run.

The agent's code reads the file and expands the command; the server that draws the values is not used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import wandb
import yaml
from commands.conftest import FEW, Mfer, mfer, only_run  # noqa: F401 - mfer is a fixture
from tracking.wandb_folder import read_offline_runs
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args, load_sweep_config

from mfer_lightning.tracking import names
from mfer_lightning.tracking.wandb_run import read_id

FILE = Path(__file__).parents[2] / "docs" / "wandb_sweep.yaml"


def as_the_agent_does(config: dict[str, Any], values: dict[str, Any]) -> list[str]:
    """The expansion of `wandb.wandb_agent.Agent._command_run`."""
    filled = create_sweep_command_args({"args": {name: {"value": value} for name, value in values.items()}})
    filled |= {"env": ["/usr/bin/env"], "interpreter": ["python"]}
    command: list[str] = []
    for chunk in create_sweep_command(list(config["command"])):
        is_macro = chunk.startswith("${") and chunk.endswith("}")
        command += filled[chunk[2:-1]] if is_macro else [chunk]
    return command


@pytest.mark.slow
def test_agent_command_trains_under_the_agent_run(
    mfer: Mfer,  # noqa: F811
    tmp_path: Path,
    wandb_home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = load_sweep_config(str(FILE))
    assert config == yaml.safe_load(FILE.read_text())
    assert config["metric"]["name"] in names.CURVES
    values = {"loss": "ce", "optimizer.lr": 1e-4, "trainer.max_epochs": 10}  # drawn by the server
    assert values.keys() == config["parameters"].keys()
    program = as_the_agent_does(config, values)
    assert program[:3] == ["/usr/bin/env", "mfer", "train"]
    assert program[3:] == [
        "loss=ce",
        "optimizer.lr=0.0001",
        "trainer.max_epochs=10",
        "logger=wandb",
        "name=facs_search",
    ]
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep001")
    monkeypatch.setenv("WANDB_RUN_ID", "trial001")
    wandb.teardown()  # the agent starts a new process, which reads the environment
    assert mfer(*program[2:], *FEW, "trainer.max_epochs=1") == 0
    wandb.teardown()
    run = only_run(tmp_path / "runs" / "facs_search")
    (logged,) = read_offline_runs(run)
    assert logged.id == read_id(run) == "trial001"
    assert logged.group == "facs_search"
    assert logged.summary["val/accuracy"] >= 0
    assert logged.config["optimizer"]["lr"] == 1e-4
