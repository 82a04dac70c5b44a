"""Compute intervals and test differences: seeds, bootstrap, checkpoints, methods, many methods, optimism gap.

Two questions are kept separate. *Are these two checkpoints different?* concerns two fixed networks and is answered on
one set of images (:mod:`.checkpoints`). *Are these two methods different?* concerns the outcome of retraining them, and
needs several seeds of each (:mod:`.statistics.methods`). For derivations and measured error rates, see
``docs/statistics.md``.
"""

from mfer_lightning.evaluation.statistics.bootstrap import BOOTSTRAPPED, bootstrap_interval, bootstrap_intervals
from mfer_lightning.evaluation.statistics.checkpoints import CheckpointComparison, compare_checkpoints
from mfer_lightning.evaluation.statistics.methods import MethodComparison, compare_methods
from mfer_lightning.evaluation.statistics.multiple import compare_against_baseline, compare_contrasts, holm
from mfer_lightning.evaluation.statistics.optimism import OptimismGap, optimism_gap
from mfer_lightning.evaluation.statistics.pairing import correct_matrix, same_images
from mfer_lightning.evaluation.statistics.planning import SeedPlan, plan_seeds
from mfer_lightning.evaluation.statistics.seeds import SeedSummary, summarise_seeds

__all__ = [
    "BOOTSTRAPPED", "CheckpointComparison", "MethodComparison", "OptimismGap", "SeedPlan", "SeedSummary",
    "bootstrap_interval", "bootstrap_intervals", "compare_against_baseline", "compare_checkpoints",
    "compare_contrasts", "compare_methods", "correct_matrix", "holm", "optimism_gap", "plan_seeds", "same_images",
    "summarise_seeds",
]  # fmt: skip
