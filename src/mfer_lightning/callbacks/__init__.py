"""Lightning callbacks: checkpoints, weight averaging, metrics.csv, loss checks, progress."""

from mfer_lightning.callbacks.atomic_io import AtomicCheckpointIO
from mfer_lightning.callbacks.centers import CentersFromData
from mfer_lightning.callbacks.checkpoint import RunCheckpoint
from mfer_lightning.callbacks.compilation import CompileNetwork
from mfer_lightning.callbacks.early_stop import EarlyStop
from mfer_lightning.callbacks.ema import WarmEMA
from mfer_lightning.callbacks.ending import EndOfTraining
from mfer_lightning.callbacks.finite_loss import FiniteLossGuard, TrainingDivergedError
from mfer_lightning.callbacks.freeze import FreezeBackbone
from mfer_lightning.callbacks.history import History
from mfer_lightning.callbacks.interruption import Interruption
from mfer_lightning.callbacks.progress import EpochLines, FERProgressBar
from mfer_lightning.callbacks.pruning import PruneTrial
from mfer_lightning.callbacks.slow_loader import SlowLoader
from mfer_lightning.callbacks.step_seed import StepSeed
from mfer_lightning.callbacks.step_times import StepTimes

__all__ = [
    "AtomicCheckpointIO",
    "CentersFromData",
    "CompileNetwork",
    "EarlyStop",
    "EndOfTraining",
    "EpochLines",
    "FERProgressBar",
    "FiniteLossGuard",
    "FreezeBackbone",
    "History",
    "Interruption",
    "PruneTrial",
    "RunCheckpoint",
    "SlowLoader",
    "StepSeed",
    "StepTimes",
    "TrainingDivergedError",
    "WarmEMA",
]
