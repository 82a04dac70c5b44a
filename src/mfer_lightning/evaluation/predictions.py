"""Table of a model's predictions for the faces of a split: the only input of evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.evaluation.predictions_csv import DIMENSIONS, csv_text, read_columns
from mfer_lightning.files import atomic_path

#: Index of a padding row in distributed evaluation.
PADDING = -1
_AFFECT = ("valence_arousal", "true_valence_arousal")
_COLUMNS = ("index", "path", "label", "logits", "target", "votes", *_AFFECT)


@dataclass(frozen=True, eq=False)
class Predictions:
    """One row per face: its path, its label, and the model's logits.

    Columns are converted to the types below. Logits and targets are stored as float32, the precision of networks and
    batches; derived values are computed in float64.

    Args:
        index: (N,) int64 row in the FaceIndex; -1 marks a padding row, which :meth:`merge` removes.
        path: (N,) str, path of the face relative to the dataset's root.
        label: (N,) int64 index into ``class_names``; -1 if unknown.
        logits: (N,K) float32, finite.
        class_names: the K classes in the order of the logits.
        target: (N,K) float32 soft target distributions, or None.
        votes: (N,V) int64 annotators' votes, or None.
        vote_names: the V names of the vote columns (may include non-classes: ``unknown``, ``NF``).
        valence_arousal: (N,2) float32 predictions within [-1, 1], or None.
        true_valence_arousal: (N,2) float32 within [-1, 1], NaN if unknown, or None.

    Raises:
        ValueError: if columns differ in length or contain illegal values.

    Example:
        >>> table = Predictions([7], ["a.png"], [1], [[0.0, 1.0]], ("anger", "fear"))
        >>> table.pred.tolist(), table.probabilities.round(3).tolist()
        ([1], [[0.269, 0.731]])
    """

    index: NDArray[np.int64]
    path: NDArray[np.str_]
    label: NDArray[np.int64]
    logits: NDArray[np.float32]
    class_names: tuple[str, ...]
    target: NDArray[np.float32] | None = None
    votes: NDArray[np.int64] | None = None
    vote_names: tuple[str, ...] = ()
    valence_arousal: NDArray[np.float32] | None = None
    true_valence_arousal: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        names = tuple(self.class_names)
        self._set("class_names", names)
        self._set("vote_names", tuple(self.vote_names))
        for kind in ("class_names", "vote_names"):
            if len(set(getattr(self, kind))) != len(getattr(self, kind)):
                raise ValueError(f"Expected argument `{kind}` to have no repeats, but got {getattr(self, kind)}.")
        n = len(self.index)
        self._convert("index", np.int64, (n,))
        self._convert("path", np.str_, (n,))
        self._convert("label", np.int64, (n,))
        self._convert("logits", np.float32, (n, len(names)))
        if self.target is not None:
            self._convert("target", np.float32, (n, len(names)))
        if self.votes is not None:
            self._convert("votes", np.int64, (n, len(self.vote_names)))
        elif self.vote_names:
            raise ValueError(f"Expected argument `votes` along with `vote_names` {self.vote_names}, but got None.")
        for name in _AFFECT:
            if getattr(self, name) is not None:
                self._convert(name, np.float32, (n, 2))
                if (np.abs(getattr(self, name)) > 1).any():
                    raise ValueError(f"Expected argument `{name}` within [-1, 1], but got values outside.")
        if n and self.index.min() < PADDING:
            raise ValueError(f"Expected argument `index` to be at least {PADDING}, but got {self.index.min()}.")
        if n and (self.label.min() < -1 or self.label.max() >= len(names)):
            raise ValueError(
                f"Expected argument `label` within [-1, {len(names) - 1}], "
                f"but got {self.label.min()} to {self.label.max()}."
            )
        for column in ("logits", "target", "valence_arousal"):
            values = getattr(self, column)
            if values is not None and not np.isfinite(values).all():
                row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
                raise ValueError(f"Expected argument `{column}` to be finite, but row {row} is {values[row].tolist()}.")
        if self.target is not None and (self.target < 0).any():
            raise ValueError(f"Expected argument `target` to be at least 0, but got {self.target.min()}.")
        if self.votes is not None and (self.votes < 0).any():
            raise ValueError(f"Expected argument `votes` to be at least 0, but got {self.votes.min()}.")

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)  # the only way to set fields of a frozen dataclass

    def _convert(self, name: str, dtype: Any, shape: tuple[int, ...]) -> None:
        column = np.asarray(getattr(self, name), dtype=dtype)
        if column.size == 0 and shape[0] == 0:
            column = column.reshape(shape)
        if column.shape != shape:
            raise ValueError(f"Expected argument `{name}` to be of shape {shape}, but got {column.shape}.")
        self._set(name, column)

    def __len__(self) -> int:
        return len(self.index)

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """(N,K) float64 softmax of the logits."""
        from scipy.special import softmax  # `mfer models`, which imports this module, does not need it

        result: NDArray[np.float64] = softmax(self.logits.astype(np.float64), axis=1)
        return result

    @property
    def pred(self) -> NDArray[np.int64]:
        """(N,) int64 class of the largest logit; the first one in a tie."""
        result: NDArray[np.int64] = self.logits.argmax(axis=1)
        return result

    def select(self, rows: NDArray[Any]) -> Predictions:
        """Return the rows selected by a mask (N,) bool or positions (M,) int, in that order."""
        chosen: dict[str, Any] = {name: column[rows] for name, column in self._columns().items()}
        return replace(self, **chosen)

    def _columns(self) -> dict[str, Any]:
        """Return the columns that are present."""
        columns = {name: getattr(self, name) for name in _COLUMNS}
        return {name: column for name, column in columns.items() if column is not None}

    @classmethod
    def merge(cls, parts: Sequence[Predictions]) -> Predictions:
        """Join tables of batches or ranks: without padding rows, each face once, in index order.

        If a face occurs more than once (a distributed sampler repeats some), its first row is kept.

        Args:
            parts: at least one table; all with the same classes and columns.

        Returns:
            The table, sorted by ``index``, with unique indices and without -1.

        Raises:
            ValueError: if parts differ in classes or columns, or give one face two labels or paths.
        """
        if not parts:
            raise ValueError("Expected argument `parts` to contain at least one table, but got none.")
        first = parts[0]
        for part in parts[1:]:
            for name in ("class_names", "vote_names"):
                if getattr(part, name) != getattr(first, name):
                    raise ValueError(
                        f"Expected argument `parts` to agree in {name}, "
                        f"but got {getattr(first, name)} and {getattr(part, name)}."
                    )
            for name in ("target", "votes", *_AFFECT):
                if (getattr(part, name) is None) != (getattr(first, name) is None):
                    raise ValueError(f"Expected argument `parts` to all have `{name}` or all lack it, but got both.")
        columns: dict[str, Any] = {name: np.concatenate([getattr(p, name) for p in parts]) for name in first._columns()}
        joined = replace(first, **columns)
        joined = joined.select(joined.index != PADDING)
        _, kept, back = np.unique(joined.index, return_index=True, return_inverse=True)
        torn = (joined.label != joined.label[kept][back]) | (joined.path != joined.path[kept][back])
        if torn.any():
            raise ValueError(
                f"Expected argument `parts` to give each face one label and path, "
                f"but got two for index {int(joined.index[torn][0])}."
            )
        return joined.select(kept)

    def csv_text(self, *, probabilities: bool = True) -> str:
        """Format the table as described in :mod:`mfer_lightning.evaluation.predictions_csv`.

        Args:
            probabilities: include the ``p_`` columns, which follow from the logits.

        Raises:
            ValueError: if there are padding rows (index -1): call merge first.
        """
        if (self.index == PADDING).any():
            raise ValueError("Expected predictions without padding rows (index -1): call Predictions.merge.")
        columns = {name: getattr(self, name).tolist() for name in ("index", "path", "label", "pred")}
        parts = {"logit": self.logits, "t": self.target}
        if probabilities:
            shares = zip(self.class_names, self.probabilities.T.tolist(), strict=True)
            columns |= {f"p_{name}": [f"{value:.6f}" for value in column] for name, column in shares}
        for prefix, values in parts.items():
            if values is not None:  # as text: the shortest decimal that reads back as the same float32
                text = values.T.astype(np.str_).tolist()
                columns |= {f"{prefix}_{name}": column for name, column in zip(self.class_names, text, strict=True)}
        if self.votes is not None:
            counts = zip(self.vote_names, self.votes.T.tolist(), strict=True)
            columns |= {f"votes_{name}": column for name, column in counts}
        for prefix, values in (("", self.valence_arousal), ("true_", self.true_valence_arousal)):
            for of, column in zip(DIMENSIONS, () if values is None else values.T, strict=values is not None):
                columns[f"{prefix}{of}"] = ["" if cell == "nan" else cell for cell in column.astype(np.str_).tolist()]
        return csv_text(columns)

    def to_csv(self, path: str | Path) -> None:
        """Write the table to a CSV file atomically.

        Raises:
            ValueError: if there are padding rows (index -1): call merge first.
            UserError: if the file cannot be written.
        """
        text = self.csv_text()
        with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            file.write(text)

    @classmethod
    def from_csv(cls, path: str | Path, class_names: Sequence[str] | None = None) -> Predictions:
        """Read a table written by :meth:`to_csv`, plain or compressed (``.csv.xz``).

        Args:
            path: the file.
            class_names: expected class order; None accepts that of the file.

        Raises:
            UserError: if the file is missing, is not such a table, or has a different class order or illegal values.
        """
        return cls(**read_columns(path, class_names))
