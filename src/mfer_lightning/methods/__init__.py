"""Training methods: what one training step computes from a batch, a network and an objective. Pure torch.

A loss scores the network's output for a batch. A method controls the input of the network and the targets of the loss:
it may weight faces, change labels, use several views of a face, or train additional networks. Evaluation and prediction
use only the network.
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
