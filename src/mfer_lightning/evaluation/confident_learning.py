"""Estimate label noise and find suspected wrong labels by confident learning.

Paper: Northcutt, Jiang, Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 70 (2021), arXiv
1911.00068. This implementation follows the definitions in the paper: thresholds (equation 2), confident joint
(equation 1) and calibration (equation 3). The suspected faces are those off the diagonal of the confident joint, as in
the paper's method C_{ỹ,y*}, and are ranked by normalised margin.

The probabilities of a face must come from a network that was not trained on it, because a network
reproduces the labels it was trained on, including the wrong ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class LabelNoise:
    """Result of confident learning for N labelled faces of K classes.

    Args:
        thresholds: (K,) mean probability of each class over the faces with that label; NaN for a class without faces.
        confident_joint: (K,K) int64 number of faces with given label i that confidently belong to class j.
        joint: (K,K) calibrated: estimated fraction of all faces with given label i and true label j; sums to 1.
        suggested: (N,) int64 the class that each face confidently belongs to; the most probable class if there is none.
        self_confidence: (N,) probability of the given label.
        margin: (N,) probability of the given label minus the largest probability of any other class, from -1
            (certainly wrong) to 1.
        suspected: (N,) bool, whether a face is off the diagonal of the confident joint and its margin is small enough.
        order: (N,) int64 faces from the most to the least suspect: the suspected ones by margin, then all others.
    """

    thresholds: NDArray[np.float64]
    confident_joint: NDArray[np.int64]
    joint: NDArray[np.float64]
    suggested: NDArray[np.int64]
    self_confidence: NDArray[np.float64]
    margin: NDArray[np.float64]
    suspected: NDArray[np.bool_]
    order: NDArray[np.int64]

    @property
    def rate(self) -> float:
        """Estimated fraction of wrong labels, within [0, 1]."""
        return float(1.0 - np.trace(self.joint))

    @property
    def noise_matrix(self) -> NDArray[np.float64]:
        """(K,K) estimated probability of label j for a face whose true class is i; NaN rows for absent classes."""
        true = self.joint.sum(axis=0)[:, None]
        with np.errstate(invalid="ignore"):
            return np.where(true > 0, self.joint.T / np.where(true > 0, true, 1.0), np.nan)

    @property
    def ranked(self) -> NDArray[np.int64]:
        """(S,) the suspected faces, the most suspect first."""
        return self.order[: int(self.suspected.sum())]


def find_label_noise(
    probabilities: NDArray[np.floating], given: NDArray[np.integer], least_margin: float = 0.0
) -> LabelNoise:
    r"""Estimate the joint distribution of given and true labels, and rank faces by how suspect their labels are.

    .. math::

        t_j = \frac{1}{|X_j|} \sum_{x \in X_j} p(j \mid x), \qquad
        C_{ij} = \bigl|\{x \in X_i : j = \arg\max_{l : p(l \mid x) \ge t_l} p(l \mid x)\}\bigr|

    with :math:`X_i` the faces given label i. A face whose probabilities all lie below their thresholds is not counted.
    Calibration scales each row to the frequency of its label. If a label has no confident face, its whole frequency is
    put on the diagonal.

    Args:
        probabilities: (N,K) of each class, from networks that were not trained on the face; rows sum to 1.
        given: (N,) labels to audit, from 0.
        least_margin: a face is suspected only if another class is more probable than the given one by at least this
            much, within [0, 1). Not in the paper; does not affect the estimates. With 0, every face off the diagonal is
            suspected.

    Returns:
        The estimates and the ranking.

    Raises:
        ValueError: if shapes disagree, a label is not a class, or rows are not distributions.

    Example:
        >>> p = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.05, 0.95]])
        >>> found = find_label_noise(p, np.array([0, 0, 1, 1, 0]))
        >>> found.confident_joint.tolist(), found.ranked.tolist(), found.suggested[4].item()
        ([[2, 1], [0, 1]], [4], 1)
    """
    p, y = np.asarray(probabilities, dtype=np.float64), np.asarray(given, dtype=np.int64)
    if p.ndim != 2 or y.shape != p.shape[:1] or len(y) == 0 or p.shape[1] < 2:
        raise ValueError(
            f"Expected arguments `probabilities` (N,K) with N at least 1 and K at least 2, and `given` (N,), but got "
            f"{p.shape} and {y.shape}."
        )
    if not 0 <= least_margin < 1:
        raise ValueError(f"Expected argument `least_margin` within [0, 1), but got {least_margin}.")
    n, k = p.shape
    if y.min() < 0 or y.max() >= k:
        raise ValueError(f"Expected argument `given` within [0, {k - 1}], but got {y.min()} to {y.max()}.")
    if not np.allclose(p.sum(axis=1), 1.0, atol=1e-4) or p.min() < 0:
        raise ValueError(
            "Expected argument `probabilities` to contain distributions, but some rows have negative values "
            "or do not sum to 1."
        )
    own = p[np.arange(n), y]
    counts = np.bincount(y, minlength=k)
    with np.errstate(invalid="ignore"):
        thresholds = np.bincount(y, weights=own, minlength=k) / counts  # NaN for a class without faces
    # a mean may exceed each of its equal terms by a rounding error
    above = p >= thresholds - 1e-12  # never where the threshold is NaN
    confident = above.any(axis=1)
    suggested = np.where(confident, np.where(above, p, -1.0).argmax(axis=1), p.argmax(axis=1)).astype(np.int64)
    joint = np.zeros((k, k), dtype=np.int64)
    np.add.at(joint, (y[confident], suggested[confident]), 1)

    others = p.copy()
    others[np.arange(n), y] = -np.inf
    margin = own - others.max(axis=1)
    suspected = confident & (suggested != y)
    if least_margin > 0:  # with 0, a confident class counts even if another is more likely, as in the paper
        suspected &= margin <= -least_margin
    order = np.lexsort((np.arange(n), margin, ~suspected))
    return LabelNoise(thresholds, joint, _calibrated(joint, counts), suggested, own, margin, suspected, order)


def _calibrated(joint: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    rows = joint.sum(axis=1)
    scaled = joint * (counts / np.maximum(rows, 1))[:, None]
    for k in np.flatnonzero(rows == 0):
        scaled[k, k] = counts[k]
    calibrated: NDArray[np.float64] = scaled / counts.sum()
    return calibrated
