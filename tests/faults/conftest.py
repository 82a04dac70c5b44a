"""A small disk, if the tests are permitted to mount one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from commands.conftest import command
from inference.predict.conftest import save_run
from small_disk import small_disk as small_disk

Fill = Callable[[int], Path]


@pytest.fixture
def fill(small_disk: Path) -> Fill:
    """Fill the small disk except for some bytes, and return the file that occupies the space."""

    def work(room: int) -> Path:
        ballast = small_disk / "ballast"
        with ballast.open("wb") as file:
            file.write(bytes(max(0, shutil.disk_usage(small_disk).free - room)))
        return ballast

    return work


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with random weights."""
    return save_run(tmp_path_factory.mktemp("faults") / "run")


@pytest.fixture
def mfer() -> Callable[..., int]:
    """Run the command line with blank figures, and return its exit code."""
    return command
