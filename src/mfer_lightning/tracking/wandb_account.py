"""Detect whether there is a key for W&B, without ever asking for one."""

from __future__ import annotations

import netrc
import os
from pathlib import Path
from urllib.parse import urlsplit

from mfer_lightning.errors import UserError, nearest

MODES = ("auto", "online", "offline", "disabled")

_WANDB = "https://api.wandb.ai"


def wandb_mode(asked: str) -> str:
    """Return the mode of W&B.

    Args:
        asked: ``logger.mode``. ``auto`` is the environment variable ``WANDB_MODE`` if that is ``offline`` or
            ``disabled``, else online if there is a key, else offline.

    Returns:
        ``online``, ``offline`` or ``disabled``.

    Raises:
        UserError: for an unknown mode, or for ``online`` without a key.
    """
    if asked not in MODES:
        raise UserError(f"logger.mode={asked}: {nearest(asked, MODES)}")
    if asked == "online" and not has_key():
        raise UserError(
            "logger.mode=online needs a key: run `wandb login` or set WANDB_API_KEY, or use logger.mode=offline and "
            "upload later with `wandb sync`."
        )
    if asked != "auto":
        return asked
    said = os.environ.get("WANDB_MODE", "")
    if said in ("offline", "disabled"):
        return said
    return "online" if has_key() else "offline"


def has_key() -> bool:
    """Whether there is a key for W&B: in the environment, or stored by ``wandb login``."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL") or _WANDB).netloc
    paths = [os.environ["NETRC"]] if os.environ.get("NETRC") else ["~/.netrc", "~/_netrc"]
    for path in paths:
        try:
            found = netrc.netrc(str(Path(path).expanduser()))
        except (OSError, netrc.NetrcParseError):
            continue
        if any(entry[2] and (name == host or "wandb" in name) for name, entry in found.hosts.items()):
            return True
    return False
