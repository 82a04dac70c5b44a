"""One study for all tests of the report: two losses by two attentions, three seeds each."""

from __future__ import annotations

from pathlib import Path

import pytest
from reporting.fabricate import write_run

#: True effects: attention adds about fifteen points with either loss; the loss adds none.
ACCURACY = {"none": 0.6, "ds": 0.75}


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep's folder; read only."""
    folder = tmp_path_factory.mktemp("study") / "ablation"
    for loss in ("ce", "dsf"):
        for attention, accuracy in ACCURACY.items():
            for seed in range(3):
                write_run(folder, loss, attention, seed, accuracy=accuracy, n=420, track_test=loss == "ce")
    return folder
