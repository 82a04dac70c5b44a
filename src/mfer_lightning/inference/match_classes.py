"""Match the classes of a model and a dataset by emotion name. No class is left out silently."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.emotions import canonical
from mfer_lightning.errors import UserError, nearest


@dataclass(frozen=True)
class ClassMatch:
    """The common classes of a model and a dataset.

    Args:
        names: the K common classes, in the dataset's order.
        columns: (K,) index of the model's logit for each common class.
        to_common: (L,) index in ``names`` of each of the dataset's L classes, -1 if the class is left out.
        dropped: classes that are left out on either side.
    """

    names: tuple[str, ...]
    columns: NDArray[np.int64]
    to_common: NDArray[np.int64]
    dropped: tuple[str, ...] = ()

    @property
    def mark(self) -> str:
        """Suffix of the protocol's name, e.g. ``"-without-contempt"``, which marks results without these classes."""
        return f"-without-{'-'.join(self.dropped)}" if self.dropped else ""


def match_classes(model: Sequence[str], dataset: Sequence[str], drop: Sequence[str] = ()) -> ClassMatch:
    """Match the classes of a model and a dataset by emotion name.

    Args:
        model: the model's classes, in the order of its logits.
        dataset: the dataset's classes, in the order of its labels.
        drop: classes to leave out: their logits, and the faces with these labels. For example,
            ``drop=("contempt",)`` evaluates an eight-class model on seven classes.

    Returns:
        The match.

    Raises:
        UserError: if one side has a class that the other lacks and ``drop`` does not name, ``drop`` names a class
            that neither has, or fewer than two classes are left.

    Example:
        >>> match = match_classes(["anger", "joy", "contempt"], ["happiness", "anger"], drop=["contempt"])
        >>> match.names, match.columns.tolist(), match.mark
        (('happiness', 'anger'), [1, 0], '-without-contempt')
    """
    own, theirs = [canonical(n) for n in model], [canonical(n) for n in dataset]
    dropped = list(dict.fromkeys(canonical(n) for n in drop))
    known = list(dict.fromkeys([*own, *theirs]))
    for name in dropped:
        if name not in known:
            raise UserError(f"drop={name}: neither the model nor the dataset has this class. {nearest(name, known)}")
    only_model = [n for n in own if n not in theirs and n not in dropped]
    only_data = [n for n in theirs if n not in own and n not in dropped]
    if only_model or only_data:
        alone = {"model": only_model, "dataset": only_data}
        sides = [f"only the {which} has {', '.join(names)}" for which, names in alone.items() if names]
        raise UserError(
            f"The classes differ: {'; '.join(sides)}. To leave them out, with the results marked accordingly, "
            f"use drop=[{','.join(only_model + only_data)}]."
        )
    names = tuple(n for n in theirs if n not in dropped)
    if len(names) < 2:
        raise UserError(f"drop leaves {len(names)} of the classes {', '.join(known)}, but at least two are needed.")
    return ClassMatch(
        names=names,
        columns=np.array([own.index(n) for n in names], dtype=np.int64),
        to_common=np.array([names.index(n) if n in names else -1 for n in theirs], dtype=np.int64),
        dropped=tuple(dropped),
    )
