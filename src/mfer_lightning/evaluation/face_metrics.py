"""Compute the per-face values whose means are metrics."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, xlogy

from mfer_lightning.emotions import canonical
from mfer_lightning.evaluation.predictions import Predictions
from mfer_lightning.plurals import counted


def label_rank(logits: NDArray[np.float32], label: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rank of the label among the logits, 0 for the largest.

    Ties go to the first class, as in ``Predictions.pred``. scikit-learn's top-k accuracy breaks ties the other way and
    treats two classes as a special case.
    """
    own = logits[np.arange(len(label)), label][:, None]
    earlier = np.arange(logits.shape[1])[None, :] < label[:, None]
    rank: NDArray[np.int64] = ((logits > own) | ((logits == own) & earlier)).sum(axis=1)
    return rank


def annotators(table: Predictions, notes: list[str]) -> tuple[NDArray[np.float64], NDArray[np.bool_]] | None:
    """Return the annotators' distributions over the classes.

    Args:
        table: predictions; uses votes if available, otherwise soft targets.
        notes: receives notes about ignored rows and votes.

    Returns:
        (M,K) distributions and a mask (N,) of the M rows that have one; None if there are none.
    """
    if table.votes is not None:
        weights, elsewhere = class_votes(table)
        if elsewhere:
            notes.append(f"Votes for {', '.join(elsewhere)} are left out of kl_to_votes and cross_entropy_to_votes.")
    elif table.target is not None and ((table.target > 0).sum(axis=1) > 1).any():
        weights = table.target.astype(np.float64)
        notes.append("No votes are stored: kl_to_votes and cross_entropy_to_votes refer to the soft targets.")
    else:
        return None  # targets with one class per row repeat the label, whose cross-entropy is nll
    total = weights.sum(axis=1)
    has = total > 0
    if not has.any():
        return None
    if not has.all():
        notes.append(
            f"Left out of the comparison with votes: {counted(int((~has).sum()), 'row')} without a vote for any class."
        )
    return weights[has] / total[has, None], has


def class_votes(table: Predictions) -> tuple[NDArray[np.float64], list[str]]:
    """Return the votes for each class (N,K), and the names of vote columns that are not classes of the table."""
    assert table.votes is not None
    columns = {canonical(name): votes for name, votes in zip(table.vote_names, table.votes.T, strict=True)}
    nobody = np.zeros(len(table), dtype=np.int64)
    votes = np.stack([columns.get(canonical(n), nobody) for n in table.class_names], axis=1).astype(np.float64)
    return votes, sorted(set(columns) - {canonical(name) for name in table.class_names})


def face_values(table: Predictions) -> dict[str, tuple[NDArray[np.float64], NDArray[np.bool_]]]:
    """Return, for each metric that is a mean over faces, its values (N,) and a mask (N,) of the counted faces.

    Args:
        table: predictions, all with a label.

    Returns:
        ``top2_accuracy``, ``nll``, ``brier``, and with votes or soft targets ``kl_to_votes`` and
        ``cross_entropy_to_votes``; values are 0 if a face is not counted.
    """
    n, everywhere = len(table), np.ones(len(table), dtype=bool)
    log_p = log_softmax(table.logits.astype(np.float64), axis=1)
    onehot = np.eye(len(table.class_names))[table.label]
    values = {
        "top2_accuracy": ((label_rank(table.logits, table.label) < 2).astype(np.float64), everywhere),
        "nll": (-log_p[np.arange(n), table.label], everywhere),
        "brier": (((np.exp(log_p) - onehot) ** 2).sum(axis=1), everywhere),
    }
    opinion = annotators(table, [])
    if opinion is not None:
        q, has = opinion
        cross_entropy, entropy = np.zeros(n), np.zeros(n)
        # from log p, which stays finite even if p underflows to 0
        cross_entropy[has], entropy[has] = -(q * log_p[has]).sum(axis=1), -xlogy(q, q).sum(axis=1)
        values["kl_to_votes"] = (cross_entropy - entropy, has)
        values["cross_entropy_to_votes"] = (cross_entropy, has)
    return values
