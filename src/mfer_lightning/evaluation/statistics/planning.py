"""Choose the number of seeds of a study from a pilot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.evaluation.statistics.methods import MIN_SEEDS, noncentrality
from mfer_lightning.evaluation.statistics.variance_components import variance_components


@dataclass(frozen=True)
class SeedPlan:
    """Result of planning the seeds of a study from a pilot.

    Args:
        seeds: number of seeds to train per method.
        reached: whether the target difference is found with 80% power at that number.
        seed_variance: variance of one seed's accuracy, averaged over the pilot's two methods.
        image_variance: contribution of the images to the variance of a difference, for the study's number of images.
        detectable: seeds -> smallest true difference found with 80% power.
    """

    seeds: int
    reached: bool
    seed_variance: float
    image_variance: float
    detectable: dict[int, float]


def plan_seeds(
    correct_a: NDArray[np.bool_],
    correct_b: NDArray[np.bool_],
    *,
    images: int,
    difference: float,
    family: int = 1,
    least: int = 5,
    most: int = 10,
    tolerance: float = 0.25,
    confidence: float = 0.95,
) -> SeedPlan:
    r"""Choose a number of seeds from a pilot of two methods, for a comparison by accuracy.

    With the seed variance :math:`s^2` of the pilot and the contribution :math:`v` of its :math:`n` images, the standard
    error of the difference with S seeds of each method on N images is :math:`\sqrt{2 s^2/S + v n/N}`, with
    :math:`2(S-1)` degrees of freedom. The plan is the smallest number from ``least`` to ``most`` whose two-sided t test
    finds the difference with 80% power. If even ``most`` seeds do not, it is the smallest number whose detectable
    difference is larger than that of ``most`` seeds by at most the fraction ``tolerance``, because more seeds would
    improve it only a little.

    Args:
        correct_a: (seeds,images) bool, correctness of each seed of one method in the pilot.
        correct_b: (seeds,images) bool, the same for the other method, on the same images.
        images: number of images in the study.
        difference: the true difference to find, e.g. 0.01 for one point.
        family: number of comparisons corrected together.
        least: minimum number of seeds per method, at least 3.
        most: maximum number of seeds per method.
        tolerance: see above.
        confidence: confidence of the family. The level of each test is (1 - confidence) / family, as in the first step
            of Holm's procedure.

    Returns:
        The plan. It is only as precise as the pilot; a variance from 2 x 3 seeds has 4 degrees of freedom.

    Raises:
        ValueError: if shapes disagree or an argument is not legal.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> a, b = (rng.random((3, 2000)) < share for share in (0.80, 0.82))
        >>> plan_seeds(a, b, images=3000, difference=0.02).seeds
        5
    """
    a, b = np.asarray(correct_a), np.asarray(correct_b)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2 or a.shape[1] < 2:
        raise ValueError(
            "Expected arguments `correct_a` and `correct_b` of shape (seeds,images), at least 2 seeds on the same "
            f"images, but got {a.shape} and {b.shape}."
        )
    if a.dtype != np.bool_ or b.dtype != np.bool_:
        raise ValueError(f"Expected arguments `correct_a` and `correct_b` to be bool, but got {a.dtype} and {b.dtype}.")
    if not MIN_SEEDS <= least <= most:
        raise ValueError(f"Expected `least` and `most` with {MIN_SEEDS} <= least <= most, but got {least} and {most}.")
    if images < 2 or family < 1 or not difference > 0 or not 0 < confidence < 1 or not tolerance >= 0:
        raise ValueError(
            "Expected `images` of at least 2, `family` of at least 1, `difference` above 0, `confidence` within (0, 1) "
            f"and `tolerance` of at least 0, but got {images}, {family}, {difference}, {confidence} and {tolerance}."
        )
    parts = variance_components(a, b, np.zeros(a.shape[1], dtype=np.int64))
    seed_variance = (parts.seeds_a * len(a) + parts.seeds_b * len(b)) / 2
    image_variance = parts.images * a.shape[1] / images
    level = (1 - confidence) / family
    detectable = {
        seeds: noncentrality(2.0 * (seeds - 1), 1 - level) * (2 * seed_variance / seeds + image_variance) ** 0.5
        for seeds in range(least, most + 1)
    }
    enough = [seeds for seeds, smallest in detectable.items() if smallest <= difference]
    near = [seeds for seeds, smallest in detectable.items() if smallest <= (1 + tolerance) * detectable[most]]
    return SeedPlan((enough or near)[0], bool(enough), seed_variance, image_variance, detectable)
