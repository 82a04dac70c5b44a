r"""Measure the compactness of classes in feature space, and the distance between them.

If :math:`\mu_k` is the mean feature of class k, D the width of the feature and K the number of classes present:

.. math::
    \text{spread} = \frac1K \sum_k \frac1{n_k} \sum_{i: y_i = k} \frac{\lVert f_i - \mu_k \rVert^2}{D}, \qquad
    \text{distance} = \frac{2}{K(K-1)} \sum_{j<k} \frac{\lVert \mu_j - \mu_k \rVert^2}{D}.

Both are squared and divided by D, as in the center and DSF losses, so that networks of different widths can be
compared. Every class has the same weight. A loss that shrinks the whole space lowers both without any benefit. Their
ratio, spread / distance, does not depend on the scale.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Compactness:
    """Spread within classes and distance between class means, both at least 0, per dimension and squared.

    Args:
        spread: mean squared distance between a feature and its class mean.
        distance: mean squared distance between two class means; None with fewer than two classes.
    """

    spread: float
    distance: float | None

    @property
    def ratio(self) -> float | None:
        """``spread / distance``: lower is more compact for the same separation. None if undefined."""
        return self.spread / self.distance if self.distance else None


def compactness(features: NDArray[np.floating], label: NDArray[np.integer]) -> Compactness:
    """Measure spread within classes and distance between class means.

    Args:
        features: (N,D), finite, N and D above 0.
        label: (N,) class of each row; negative values (no label) are ignored.

    Returns:
        The two measures over the classes that occur.

    Raises:
        ValueError: if shapes disagree, no row has a label, or a feature is not finite.

    Example:
        >>> compactness(np.array([[0.0, 0], [2, 0], [9, 0], [11, 0]]), np.array([0, 0, 1, 1]))
        Compactness(spread=0.5, distance=40.5)
    """
    f = np.asarray(features, dtype=np.float64)
    y = np.asarray(label, dtype=np.int64)
    if f.ndim != 2 or f.size == 0:
        raise ValueError(f"Expected argument `features` to be of shape (N,D), not empty, but got {f.shape}.")
    if y.shape != f.shape[:1]:
        raise ValueError(f"Expected argument `label` to be of shape {f.shape[:1]}, but got {y.shape}.")
    if not np.isfinite(f).all():
        raise ValueError("Expected argument `features` to be finite, but got NaN or infinity.")
    f, y = f[y >= 0], y[y >= 0]
    if not len(y):
        raise ValueError("Expected argument `label` to contain at least one label, but all are below 0.")
    width = f.shape[1]
    classes = np.unique(y)
    means = np.zeros((len(classes), width))
    spreads = np.zeros(len(classes))
    for k, name in enumerate(classes):  # one class at a time: copying all features at once would take most of the time
        own = f[y == name]
        means[k] = own.mean(axis=0)
        own -= means[k]
        spreads[k] = np.einsum("ij,ij->", own, own) / (len(own) * width)
    spread = float(spreads.mean())
    if len(classes) < 2:
        return Compactness(spread, None)
    first, second = np.triu_indices(len(classes), k=1)
    distance = float(((means[first] - means[second]) ** 2).sum(axis=1).mean() / width)
    return Compactness(spread, distance)
