"""W&B writes to the test's own folders, and never to anybody's account."""

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
    """A folder of W&B's own, for as long as a test lasts."""
    home = tmp_path_factory.mktemp("wandb-home")
    with nobody(home):
        yield home


@pytest.fixture(scope="session")
def ablation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of two losses, one of which has no feature loss, logged offline and not to be changed."""
    folder = tmp_path_factory.mktemp("ablation")
    options = (f"paths.runs={folder}/runs", f"paths.cache={folder}/cache", "name=ablation", "logger=wandb")
    with nobody(folder / "home"):
        with pytest.raises(SystemExit) as stop:  # with its figures: they are among what is logged
            main([*FACS, *options, "loss=dsf", "seed=3"])
        assert stop.value.code == 0
        assert command(*FACS, *options, "loss=ce", "trainer.max_epochs=1") == 0
    return folder / "runs" / "ablation"
