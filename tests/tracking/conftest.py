"""W&B writes to folders of the test, and never to an account."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from commands.conftest import FACS, command

from mfer_lightning.cli import main


@contextmanager
def nobody(home: Path) -> Iterator[None]:
    """No key, no network, and W&B's caches in their own folder."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_MODE", "WANDB_BASE_URL", "WANDB_ENTITY"):
            patch.delenv(name, raising=False)
        patch.setenv("NETRC", str(home / "netrc"))
        for name in ("DATA", "CACHE", "CONFIG", "ARTIFACT"):
            patch.setenv(f"WANDB_{name}_DIR", str(home))
        yield


@pytest.fixture
def wandb_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A temporary folder for W&B."""
    home = tmp_path_factory.mktemp("wandb-home")
    with nobody(home):
        yield home


@pytest.fixture(scope="session")
def ablation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of two losses, one of which has no feature loss, logged offline; read only."""
    folder = tmp_path_factory.mktemp("ablation")
    options = (f"paths.runs={folder}/runs", f"paths.cache={folder}/cache", "name=ablation", "logger=wandb")
    with nobody(folder / "home"):
        with pytest.raises(SystemExit) as stop:  # with its figures, since they are logged
            main([*FACS, *options, "loss=dsf", "seed=3"])
        assert stop.value.code == 0
        assert command(*FACS, *options, "loss=ce", "trainer.max_epochs=1") == 0
    return folder / "runs" / "ablation"
