"""Keep the better of two networks trained by a method, judged on the validation faces."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mfer_lightning.methods import Method

#: Prefixes in a checkpoint: the network in use, and the other one.
_FIRST, _SECOND = "network.", "method.peer."


def choose(method: Method, first: Tensor, second: Tensor, better: str) -> int:
    """Record which network has the better metric; the first one in a tie.

    Args:
        method: a method with a ``rival`` and the buffer ``kept``.
        first: metric of the network.
        second: metric of the rival.
        better: ``max`` or ``min``.

    Returns:
        0 or 1, the index of the kept network.
    """
    second_wins = bool(second > first) if better == "max" else bool(second < first)
    method.kept.fill_(int(second_wins))  # type: ignore[operator]
    return int(second_wins)


def exchange(state: dict[str, Any]) -> None:
    """Swap the weights of the two networks in a module's state in place, if the second one is kept.

    Files store the kept network under ``network.``, where readers of the file expect it. A second call restores the
    order used in training.
    """
    if not int(state.get("method.kept", 0)):
        return
    first, second = ({n: state[n] for n in state if n.startswith(prefix)} for prefix in (_FIRST, _SECOND))
    state.update({_SECOND + name.removeprefix(_FIRST): value for name, value in first.items()})
    state.update({_FIRST + name.removeprefix(_SECOND): value for name, value in second.items()})
