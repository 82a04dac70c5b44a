"""`evaluate` gives the same results as the command line for a run, a file or a network in memory."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from commands.conftest import few_run  # noqa: F401 - a fixture

from mfer_lightning import Run, evaluate, load_model
from mfer_lightning.cli import main
from mfer_lightning.config.compose import compose_train
from mfer_lightning.data.datasets import FaceDataModule
from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.runs import RESULT
from mfer_lightning.module import FERModule
from mfer_lightning.training.build import assemble, build_datamodule, build_network


@pytest.fixture
def parts(few_run: Path) -> tuple[FERModule, FaceDataModule]:  # noqa: F811
    """The trained module of the run, and its datamodule, not set up yet."""
    run = Run(few_run)
    datamodule = build_datamodule(run.config)
    names = run.model.class_names
    module = assemble(run.config, build_network(run.config, len(names)), names, (1,) * len(names))
    state = torch.load(run.checkpoint, weights_only=True)["state_dict"]
    module.load_state_dict({**module.state_dict(), **state})
    return module, datamodule


@pytest.mark.slow
def test_run_metrics_are_reproduced_and_match_the_command_line(here: Path, few_run: Path) -> None:  # noqa: F811
    run = Run(few_run)
    found = evaluate(run, embedding_points=0, output="python")
    assert found.metrics == pytest.approx(run.metrics, abs=1e-6)
    assert found.intervals["accuracy"] == pytest.approx(run.result["intervals"]["accuracy"])
    assert found["n"] == 9
    assert (found.predictions.pred == run.predictions().pred).all()
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", f"checkpoint={few_run}", "evaluation.embedding_points=0", "output=shell"])
    assert not stop.value.code
    theirs = json.loads((here / "shell" / RESULT).read_text())
    for said in (found.result, theirs):
        said["cost"] = said["hardware"] = None
    assert json.loads(json.dumps(found.result)) == theirs
    assert {f.name for f in (here / "python").iterdir()} == {f.name for f in (here / "shell").iterdir()}


def test_module_in_memory_is_evaluated_like_its_checkpoint(
    here: Path,
    few_run: Path,  # noqa: F811
    parts: tuple[FERModule, FaceDataModule],
    capsys: pytest.CaptureFixture,
) -> None:
    module, datamodule = parts
    module.network.train()
    found = evaluate(module, datamodule)
    assert found.metrics == pytest.approx(Run(few_run).metrics, abs=1e-6)
    assert (found["protocol"], found["split"]) == ("facs@native", "test")
    assert np.allclose(found.predictions.logits, Run(few_run).predictions().logits, atol=1e-4)
    assert module.network.training
    assert found.folder is None
    assert not list(here.iterdir())
    assert not capsys.readouterr().out.strip()  # rich before 14.3 prints an empty line here
    assert "9 faces of facs@native, test" in repr(found)
    assert evaluate(module, datamodule, "val")["n"] == 16
    written = evaluate(module, datamodule, output="here", embedding_points=0)
    assert json.loads((here / "here" / RESULT).read_text())["metrics"] == written.metrics


@pytest.mark.slow
def test_loaded_model_is_evaluated_on_its_own_faces(few_run: Path, here: Path) -> None:  # noqa: F811
    for model in (Run(few_run).model, load_model(few_run)):
        assert evaluate(model).metrics == pytest.approx(Run(few_run).metrics, abs=1e-6)
    assert not list(here.iterdir())


def test_predictions_table_needs_no_model(few_run: Path, here: Path) -> None:  # noqa: F811
    found = evaluate(predictions=few_run / "predictions_test.csv", output="table")
    assert found.metrics == pytest.approx(Run(few_run).metrics)
    assert "9 faces" in repr(found)


@pytest.mark.slow
def test_other_datasets_can_be_evaluated_by_name(few_run: Path, here: Path) -> None:  # noqa: F811
    options = ["dataset.size=32", "dataset.test_size=5", "dataset.train_size=16", "dataset.val_size=8"]
    found = evaluate(Run(few_run).model, dataset_name="facs", dataset_options=options)
    assert found["n"] == 5
    assert compose_train(["loss=ce"])["loss"]["name"] == "ce"


def test_contradictions_are_rejected(few_run: Path, here: Path, parts: tuple[FERModule, FaceDataModule]) -> None:  # noqa: F811
    module, datamodule = parts
    with pytest.raises(UserError, match="does not say which dataset"):
        evaluate(module)
    with pytest.raises(UserError, match="either a datamodule or the arguments that open a dataset by name"):
        evaluate(module, datamodule, dataset_name="facs")
    with pytest.raises(UserError, match="suite=robustness draws figures"):
        evaluate(module, datamodule, suite="robustness")
    with pytest.raises(UserError, match="split=tset"):
        evaluate(module, datamodule, "tset")
