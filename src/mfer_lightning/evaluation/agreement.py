"""Measure the agreement of annotators, and the accuracy of a model at each level of agreement.

Fleiss' kappa is implemented here because other libraries require the same number of votes for every face.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.evaluation.intervals import wilson
from mfer_lightning.evaluation.predictions import PADDING, Predictions

#: Edges of the agreement bins. Each bin includes its lower edge; the last bin also includes its upper edge.
EDGES = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


@dataclass(frozen=True)
class AgreementBin:
    """Faces with a certain degree of agreement between annotators.

    Args:
        low: minimum share of a face's votes for its most frequent answer.
        high: upper limit of that share, exclusive except in the last bin.
        n: number of faces, above 0.
        accuracy: fraction of these faces that the model classifies correctly.
        interval: 95% Wilson interval of the accuracy.
    """

    low: float
    high: float
    n: int
    accuracy: float
    interval: tuple[float, float]


def accuracy_by_agreement(predictions: Predictions, edges: Sequence[float] = EDGES) -> list[AgreementBin]:
    """Compute accuracy by the agreement of the annotators.

    The agreement on a face is the share of its votes that are for the most frequent answer. Votes for answers that are
    not emotions are counted, too.

    Args:
        predictions: table with votes; rows without a label or without votes are ignored.
        edges: bin edges in increasing order, within [0, 1]; faces whose agreement is outside are ignored.

    Returns:
        The non-empty bins, in order of increasing agreement.

    Raises:
        ValueError: if there are no votes, or edges are not ascending.

    Example:
        >>> votes = [[10, 0], [6, 4], [5, 5]]
        >>> table = Predictions([0, 1, 2], list("abc"), [0, 0, 0], [[1, 0], [1, 0], [0, 1]], ("anger", "fear"),
        ...                     votes=votes, vote_names=("anger", "fear"))
        >>> [(b.low, b.high, b.n, b.accuracy) for b in accuracy_by_agreement(table)]
        [(0.5, 0.6, 1, 0.0), (0.6, 0.7, 1, 1.0), (0.9, 1.0, 1, 1.0)]
    """
    ends = np.asarray(edges, dtype=np.float64)
    if ends.ndim != 1 or len(ends) < 2 or (np.diff(ends) <= 0).any():
        raise ValueError(f"Expected argument `edges` to be at least two ascending numbers, but got {list(edges)}.")
    votes, right = _voted(predictions)
    agreement = votes.max(axis=1) / votes.sum(axis=1)
    # 7 of 10 votes must not fall below 0.7 because of rounding
    place = np.searchsorted(ends, agreement + 1e-9, side="right") - 1
    place[np.isclose(agreement, ends[-1])] = len(ends) - 2
    found = []
    for number, (low, high) in enumerate(zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)):
        mine = right[place == number]
        if len(mine):
            interval = wilson(int(mine.sum()), len(mine))
            found.append(AgreementBin(low, high, len(mine), float(mine.mean()), interval))
    return found


def single_annotator_agreement(predictions: Predictions) -> float:
    """Compute how often one annotator agrees with the majority of the others, as a reference for accuracies.

    Each annotator in turn is compared with the most frequent answer of the others for that face. If n answers are tied,
    agreement with one of these answers counts 1/n. Every face has the same weight. The result is a reference, not an
    upper bound. A majority is more consistent than a single annotator, and a model trained on many annotators can agree
    with the majority more often.

    Args:
        predictions: table with votes; rows without a label or with fewer than two votes are ignored.

    Returns:
        The fraction, within [0, 1].

    Raises:
        ValueError: if no row has two votes.

    Example:
        >>> names = ("anger", "fear")
        >>> table = Predictions([0], ["a"], [0], [[1, 0]], names, votes=[[3, 1]], vote_names=names)
        >>> single_annotator_agreement(table)  # those who said anger agree with the majority; the fourth does not
        0.75
    """
    votes, _ = _voted(predictions)
    votes = votes[votes.sum(axis=1) > 1]
    if not len(votes):
        raise ValueError("Expected argument `predictions` to contain faces with two votes or more, but got none.")
    agreed = np.zeros(len(votes))
    for answer in range(votes.shape[1]):
        others = votes.copy()
        others[:, answer] -= 1
        most = others.max(axis=1)
        tied = (others == most[:, None]).sum(axis=1)
        agreed += votes[:, answer] * np.where(others[:, answer] == most, 1 / tied, 0.0)
    return float((agreed / votes.sum(axis=1)).mean())


def fleiss_kappa(votes: NDArray[np.integer]) -> float | None:
    r"""Compute Fleiss' kappa, agreement beyond chance, even for faces with different numbers of votes.

    .. math:: \kappa = (\bar P - \bar P_e) / (1 - \bar P_e), \qquad
        P_i = \frac{\sum_c n_{ic}(n_{ic} - 1)}{n_i(n_i - 1)}, \qquad \bar P_e = \sum_c p_c^2

    where p is the share of each answer among all votes (Fleiss, Psychological Bulletin 1971).

    Args:
        votes: (N,V) counts; faces with fewer than two votes are ignored.

    Returns:
        Kappa, 1 for perfect agreement; None if all votes are for one answer or no face has two votes.
    """
    counts = np.asarray(votes, dtype=np.float64)
    counts = counts[counts.sum(axis=1) > 1]
    if not len(counts):
        return None
    n = counts.sum(axis=1)
    observed = float(((counts * (counts - 1)).sum(axis=1) / (n * (n - 1))).mean())
    chance = float(((counts.sum(axis=0) / counts.sum()) ** 2).sum())
    return None if chance >= 1 else (observed - chance) / (1 - chance)


def _voted(predictions: Predictions) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the votes (M,V) and the correctness of the predictions (M,) for faces with a label and votes."""
    if predictions.votes is None:
        raise ValueError("Expected argument `predictions` to contain votes, but it has none.")
    rows = (predictions.index != PADDING) & (predictions.label >= 0) & (predictions.votes.sum(axis=1) > 0)
    return predictions.votes[rows], (predictions.pred == predictions.label)[rows]
