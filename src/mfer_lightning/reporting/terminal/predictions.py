"""Print a summary of predictions: numbers of photos, statuses and emotions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console

from mfer_lightning.errors import printable
from mfer_lightning.plurals import counted

#: Maximum number of photos for which every face is printed.
FEW = 5
#: Maximum number of lines printed for them.
MOST_LINES = 40
#: Maximum number of photos whose problems are listed.
MOST_TROUBLES = 5
_TABLE, _LINES = "predictions.csv", "predictions.jsonl"


class Item(Protocol):
    """The counted properties of one photo or frame; ``str()`` lists its faces."""

    @property
    def status(self) -> str:
        """``"ok"``, ``"no face"``, or the problem."""
        ...

    @property
    def faces(self) -> Sequence[Any]:
        """The faces, each with ``answer`` (an emotion, or ``"uncertain"``) and ``quality``."""
        ...

    def to_dict(self) -> Mapping[str, Any]:
        """The prediction, with ``path``, ``message``, and in a video ``frame``."""
        ...


def print_summary(
    items: Iterable[Item],
    class_names: Sequence[str],
    folder: Path,
    seconds: float,
    looked_at: int,
    *,
    what: str = "photos",
    console: Console | None = None,
) -> dict[str, Any]:
    """Print a summary of a folder of predictions: counts, and if there are at most :data:`FEW` photos, their faces.

    Args:
        items: all predictions in the folder, including those of earlier invocations.
        class_names: the emotions.
        folder: folder of the results.
        seconds: duration of this invocation.
        looked_at: number of photos processed in this invocation.
        what: ``"photos"`` or ``"frames"``.
        console: where to print; None is the terminal.

    Returns:
        The counts: ``photos`` (or ``frames``), ``statuses``, ``faces``, ``emotions``.
    """
    console = console or Console()

    def say(line: str) -> None:  # names come from files and models: no markup, emoji codes or control characters
        console.print(printable(line), markup=False, emoji=False, highlight=False, soft_wrap=True)

    statuses: Counter[str] = Counter()
    emotions: Counter[str] = Counter(dict.fromkeys(class_names, 0))
    marked: Counter[str] = Counter()
    faceless: Counter[str] = Counter()
    troubles: list[Item] = []
    first: list[Item] = []
    for item in items:
        if len(first) < FEW:
            first.append(item)
        statuses[item.status] += 1
        emotions.update(face.answer for face in item.faces)
        marked.update(face.quality for face in item.faces if face.quality not in (None, "good"))
        if item.status == "no face" and (message := item.to_dict()["message"]):
            faceless[message] += 1
        if item.status not in ("ok", "no face") and len(troubles) < MOST_TROUBLES:
            troubles.append(item)
    one = what.removesuffix("s")
    total, faces = sum(statuses.values()), sum(emotions.values())
    words = ", ".join(f"{n:,} {'with faces' if s == 'ok' else s}" for s, n in statuses.most_common())
    few = what == "photos" and total <= FEW
    lines = [line for item in first for line in str(item).splitlines()] if few else []
    for line in lines[:MOST_LINES]:
        say(line)
    if len(lines) > MOST_LINES:
        say(f"  ... and {counted(len(lines) - MOST_LINES, 'more line')}: see {_TABLE}.")
    rate = f", {looked_at / seconds:.1f} a second" if looked_at and seconds > 0 else ""
    say(f"{counted(total, one)}: {words or 'none'}. {looked_at:,} processed in {seconds:.1f} s{rate}.")
    if faces and not (few and total == 1):
        shares = ", ".join(f"{name} {n:,} ({n / faces:.0%})" for name, n in emotions.most_common() if n)
        say(f"{counted(faces, 'face')}: {shares}.")
    if marked:
        words = ", ".join(f"{n:,} {mark}" for mark, n in marked.most_common())
        say(f"Less reliable: {counted(sum(marked.values()), 'face')} ({words}; column quality).")
    if not few:  # printed already
        for message, n in faceless.items():
            say(f"No face in {counted(n, one)}: {message}.")
        for item in troubles:
            plain = item.to_dict()
            say(f"  {plain['path']}: {item.status}, {plain['message']}")
    more = sum(n for s, n in statuses.items() if s not in ("ok", "no face")) - len(troubles)
    if more > 0:
        say(f"  ... and {more:,} more: see the rows of {_TABLE}.")
    say(f"Table: {folder / _TABLE}")
    say(f"Lines: {folder / _LINES}")
    return {what: total, "statuses": dict(statuses), "faces": faces, "emotions": dict(emotions)}
