"""Check whether the hub for timm's weights is reachable, and use only its cache if not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import constants, get_session

#: Timeout in seconds.
PATIENCE = 5.0


def reachable() -> bool:
    """Whether the hub responds, even with an error; false immediately if ``HF_HUB_OFFLINE`` is set."""
    if constants.HF_HUB_OFFLINE:
        return False
    try:
        get_session().head(constants.ENDPOINT, timeout=PATIENCE)
    except Exception:  # errors of whichever HTTP library the client uses
        return False
    return True


@contextmanager
def cache_alone() -> Iterator[None]:
    """Restrict the hub's client to its cache; by default it retries the network for over a minute."""
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
