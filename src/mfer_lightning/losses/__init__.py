"""Losses: classification losses on logits, feature losses on the pooled feature, and the objective that combines them.

Pure torch. Classification losses are ``(logits (B,K), target (B,K)) -> scalar``. Feature losses are ``(feature (B,D),
target (B,K)) -> {"total": scalar, part: scalar, ...}``; all except :class:`MetricLearningLoss` are divided by D. Losses
on additional outputs are ``(output, target (B,K)) -> scalar``, and losses on valence and arousal are ``((B,2), (B,2))
-> scalar``.
"""

from __future__ import annotations

from mfer_lightning.losses.affinity import AffinityLoss
from mfer_lightning.losses.attention_diversity import AttentionLoss
from mfer_lightning.losses.balanced_softmax import BalancedSoftmax
from mfer_lightning.losses.center import CenterLoss
from mfer_lightning.losses.classification import CrossEntropy
from mfer_lightning.losses.concordance import ConcordanceLoss
from mfer_lightning.losses.describe import describe_objective
from mfer_lightning.losses.dsf import DSFLoss
from mfer_lightning.losses.focal import FocalLoss
from mfer_lightning.losses.lgm import LGMLoss
from mfer_lightning.losses.metric_learning import MetricLearningLoss
from mfer_lightning.losses.multi_target import MultiTargetLoss
from mfer_lightning.losses.objective import Objective
from mfer_lightning.losses.output_loss import OutputLoss
from mfer_lightning.losses.partition import PartitionLoss
from mfer_lightning.losses.valence_arousal_mse import ValenceArousalMSE
from mfer_lightning.losses.weights import class_weights_from_counts

__all__ = [
    "AffinityLoss",
    "AttentionLoss",
    "BalancedSoftmax",
    "CenterLoss",
    "ConcordanceLoss",
    "CrossEntropy",
    "DSFLoss",
    "FocalLoss",
    "LGMLoss",
    "MetricLearningLoss",
    "MultiTargetLoss",
    "Objective",
    "OutputLoss",
    "PartitionLoss",
    "ValenceArousalMSE",
    "class_weights_from_counts",
    "describe_objective",
]
