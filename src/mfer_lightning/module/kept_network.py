"""Of two networks that a method trains, keep the one that is better on the validation faces."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mfer_lightning.methods import Method

#: Where a checkpoint has the weights of the network that is used, and those of the other one.
_FIRST, _SECOND = "network.", "method.peer."


def choose(method: Method, first: Tensor, second: Tensor, better: str) -> int:
    """Remember which network has the better figure; the first one where they are equal.

    Args:
        method: with a ``rival`` and the buffer ``kept``.
        first: figure of the network.
        second: of the rival.
        better: ``max`` or ``min``.

    Returns:
        0 or 1, the network that is kept.
    """
    second_wins = bool(second > first) if better == "max" else bool(second < first)
    method.kept.fill_(int(second_wins))  # type: ignore[operator]
    return int(second_wins)


def exchange(state: dict[str, Any]) -> None:
    """Exchange the two networks' weights in a module's state where the second one is kept, in place.

    A file has the network that is kept under ``network.``, so that whoever uses the file finds it there. Doing it again
    restores the order in which the networks are trained.
    """
    if not int(state.get("method.kept", 0)):
        return
    first, second = ({n: state[n] for n in state if n.startswith(prefix)} for prefix in (_FIRST, _SECOND))
    state.update({_SECOND + name.removeprefix(_FIRST): value for name, value in first.items()})
    state.update({_FIRST + name.removeprefix(_SECOND): value for name, value in second.items()})
