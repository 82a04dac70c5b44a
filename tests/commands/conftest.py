"""The real command line over tiny data, in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from blank import blank_drawings

from mfer_lightning.cli import main

#: A network and a dataset for runs of two seconds.
TINY = (
    "backbone.stem=default",
    "backbone.drop_path_rate=0.0",
    "backbone.options={depths:[1,1,1,1],dims:[8,16,24,32]}",
    "attention.kernel_size=3",
    "preprocess.size=32",
    "dataset.size=32",
    "loader.batch_size=16",
    "loader.num_workers=0",
    "trainer.max_epochs=2",
    "trainer.accelerator=cpu",
    "evaluation.embedding_points=40",
)
#: The built-in dataset, with a test split that no batch size divides.
FACS = (*TINY, "dataset.train_size=64", "dataset.val_size=24", "dataset.test_size=37")

#: Even fewer faces, for tests that do not depend on their number.
FEW = (*FACS, "dataset.train_size=32", "dataset.val_size=16", "dataset.test_size=9", "evaluation.embedding_points=0")

#: Half as many training faces as :data:`FACS`, for the run that evaluations share.
SMALL = ("dataset.train_size=32", "dataset.val_size=24", "dataset.test_size=37")

Mfer = Callable[..., int]


def command(*arguments: str) -> int:
    """Run the command line in the current folder, with blank figures, and return its exit code."""
    with blank_drawings(), pytest.raises(SystemExit) as stop:
        main(arguments)
    return int(stop.value.code or 0)


@pytest.fixture
def mfer(blank_figures: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mfer:
    """Run the command line in its own folder and return its exit code."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> int:
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        return int(stop.value.code or 0)

    return run


@pytest.fixture(scope="session")
def few_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished run of :data:`FEW`; read only."""
    folder = tmp_path_factory.mktemp("few")
    where = f"paths.runs={folder / 'runs'}"
    assert (
        command(where, *FEW, f"paths.cache={tmp_path_factory.getbasetemp() / 'cache'}") == 0
    )  # the image cache shared by all tests
    return only_run(folder / "runs")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the tiniest network on the built-in dataset, for tests that only evaluate it."""
    runs = tmp_path_factory.mktemp("trained") / "runs"
    options = (*TINY, *SMALL, "trainer.max_epochs=1", f"paths.runs={runs}", "evaluation.embedding_points=0")
    assert command(*options) == 0
    return only_run(runs)


def only_run(folder: Path) -> Path:
    """Return the only run in a folder of runs."""
    runs = [f for f in folder.iterdir() if f.is_dir()]
    assert len(runs) == 1, runs
    return runs[0]
