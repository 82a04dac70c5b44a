"""Training methods: what is computed of a batch, a network and an objective in one training step. Pure torch.

A loss scores the network's output for a batch. A method decides what the network sees and which targets the loss gets:
it may weigh faces, change their labels, show a face twice, or bring further networks. Evaluation and prediction know
the network alone.
"""

from __future__ import annotations

from mfer_lightning.methods.base import Method, Step
from mfer_lightning.methods.baseline import Baseline
from mfer_lightning.methods.coteaching import CoTeaching
from mfer_lightning.methods.describe import describe_method
from mfer_lightning.methods.distill import Distill
from mfer_lightning.methods.eac import EAC
from mfer_lightning.methods.rul import RUL
from mfer_lightning.methods.scn import SCN

__all__ = ["EAC", "RUL", "SCN", "Baseline", "CoTeaching", "Distill", "Method", "Step", "describe_method"]
