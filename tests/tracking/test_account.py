"""When W&B is used online: with a key, never by asking for one."""

from __future__ import annotations

from pathlib import Path

import pytest

from mfer_lightning.errors import UserError
from mfer_lightning.tracking.wandb_account import has_key, wandb_mode

NETRC = "machine {host}\n  login user\n  password 0123456789012345678901234567890123456789\n"


@pytest.fixture(autouse=True)
def _nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_MODE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


def test_without_a_key_auto_is_offline_and_online_is_an_error() -> None:
    assert wandb_mode("auto") == "offline"
    with pytest.raises(UserError, match="wandb login"):
        wandb_mode("online")


def test_key_in_the_environment_makes_auto_online_unless_wandb_mode_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    assert wandb_mode("auto") == wandb_mode("online") == "online"
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert wandb_mode("auto") == "disabled"
    assert wandb_mode("offline") == "offline"


@pytest.mark.parametrize(
    ("host", "base", "found"),
    [
        ("api.wandb.ai", "", True),
        ("wandb.example.org", "", True),
        ("github.com", "", False),
        ("tracking.example.org", "https://tracking.example.org", True),
    ],
)
def test_only_a_wandb_login_counts_as_a_key(
    host: str, base: str, found: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text(NETRC.format(host=host))
    if base:
        monkeypatch.setenv("WANDB_BASE_URL", base)
    assert has_key() is found


def test_damaged_netrc_gives_no_key(tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("api.wandb.ai: a key\n")
    assert not has_key()


def test_misspelled_mode_suggests_the_closest_match() -> None:
    with pytest.raises(UserError, match="did you mean 'offline'"):
        wandb_mode("ofline")
