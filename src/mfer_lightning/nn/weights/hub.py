"""Ask the hub that timm's weights come from whether it can be reached, and do with its cache where it cannot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import constants, get_session

#: Seconds to wait for an answer.
PATIENCE = 5.0


def reachable() -> bool:
    """Whether the hub answers, be it with an error; at once where ``HF_HUB_OFFLINE`` is set."""
    if constants.HF_HUB_OFFLINE:
        return False
    try:
        get_session().head(constants.ENDPOINT, timeout=PATIENCE)
    except Exception:  # its client's own, of whichever library it is built on
        return False
    return True


@contextmanager
def cache_alone() -> Iterator[None]:
    """Let the hub's client look into its cache and nowhere else; by itself it tries the network for over a minute."""
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
