"""Emotion names, their spellings, and the mapping between two class orders.

A wrong class order (a checkpoint trained with one order and evaluated with another) is the most common silent error in
the field. Therefore, class indices never cross a module boundary without their names: a class order is always a tuple
of these names, and two orders are matched by name (as in :func:`remap`), never by position. Each dataset declares its
order (:mod:`mfer_lightning.data.datasets`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from mfer_lightning.errors import UserError

#: Ekman's six basic emotions, neutral and contempt, in the order of AffectNet's label codes.
EMOTIONS: tuple[str, ...] = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")

#: Spellings found in folder names, csv files and other projects' checkpoints.
ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "neutrality": "neutral",
        "natural": "neutral",
        "calm": "neutral",
        "happy": "happiness",
        "joy": "happiness",
        "sad": "sadness",
        "surprised": "surprise",
        "suprise": "surprise",
        "fearful": "fear",
        "afraid": "fear",
        "disgusted": "disgust",
        "angry": "anger",
        "contemptuous": "contempt",
    }
)


def canonical(name: str) -> str:
    """Return the canonical name of an emotion.

    Args:
        name: an emotion in any of the common spellings, in upper or lower case.

    Returns:
        One of :data:`EMOTIONS`, or for a custom class the name in lower case.

    Example:
        >>> canonical("Happy"), canonical("Suprise"), canonical("boredom")
        ('happiness', 'surprise', 'boredom')
    """
    key = name.strip().lower()
    return ALIASES.get(key, key)


def remap(source: Sequence[str], target: Sequence[str], drop: Sequence[str] = ()) -> list[int]:
    """Map class indices of one order to another, by name.

    Args:
        source: class names in the order to map from, length S.
        target: class names in the order to map to.
        drop: source names that may be absent from the target; those that are absent map to -1.

    Returns:
        A list of S indices into ``target`` (-1 for a dropped class).

    Raises:
        UserError: if a source class has no counterpart and is not in ``drop``, or an order repeats a name.

    Example:
        >>> remap(["anger", "joy"], ["happiness", "anger"])
        [1, 0]
    """
    names = [canonical(n) for n in target]
    wanted = [canonical(n) for n in source]
    for order, which in ((names, "target"), (wanted, "source")):
        if len(set(order)) != len(order):
            raise UserError(f"The {which} class order repeats a name: {', '.join(order)}.")
    dropped = {canonical(n) for n in drop}
    missing = [n for n in wanted if n not in names and n not in dropped]
    if missing:
        raise UserError(
            f"No counterpart for {', '.join(missing)} among the classes {', '.join(names)}. "
            "Name the classes to leave out, or use a model with these classes."
        )
    return [names.index(n) if n in names else -1 for n in wanted]
