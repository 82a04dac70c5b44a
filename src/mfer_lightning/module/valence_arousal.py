"""Check that network, objective and faces support training on valence and arousal."""

from __future__ import annotations

import numpy as np
from torch import nn

from mfer_lightning.data.datasets.base import FaceDataModule
from mfer_lightning.errors import UserError
from mfer_lightning.module.metrics import VALENCE_AROUSAL_MODES
from mfer_lightning.nn.valence_arousal import VALENCE_AROUSAL
from mfer_lightning.plurals import counted


def learns_valence_arousal(objective: nn.Module) -> bool:
    """Whether an objective has a loss on valence and arousal."""
    return getattr(objective, "valence_arousal", None) is not None


def check_outputs(network: nn.Module, objective: nn.Module) -> None:
    """Reject a network without the output needed by an objective's loss on valence and arousal.

    Raises:
        UserError: with the outputs of the network.
    """
    outputs = getattr(network, "outputs", None)
    if learns_valence_arousal(objective) and outputs is not None and VALENCE_AROUSAL not in outputs:
        raise UserError(
            f"The objective has a loss on valence and arousal, but the network does not predict them (it returns "
            f"{', '.join(outputs)}). Use MFER(..., valence_arousal=True), network=mfer, or valence_arousal=none."
        )


def check_valence_arousal(datamodule: FaceDataModule, monitor: str | None = None) -> None:
    """Reject training on valence and arousal without labels, and selection by one of their metrics with too few labels.

    Args:
        datamodule: a datamodule that is set up.
        monitor: the validation metric that selects the checkpoint.

    Raises:
        UserError: with the name of the dataset.
    """
    known = datamodule.index.valence_arousal
    rows = datamodule.splits.train.rows
    if known is not None and not np.isnan(known[rows]).all():
        val = known[datamodule.splits.val.rows]
        if monitor in VALENCE_AROUSAL_MODES and (~np.isnan(val)).sum(axis=0).min() < 2:
            raise UserError(
                f"monitor={monitor}: too few of the {counted(len(val), 'validation face')} of {datamodule.dataset} "
                "have known values of valence and arousal for selection. Use monitor=accuracy or another "
                "classification metric."
            )
        return
    lack = "has no valence and arousal" if known is None else "has no training face with valence and arousal"
    raise UserError(
        f"{datamodule.dataset} ({datamodule.index.layout}) {lack}, so they cannot be learned. Use "
        "valence_arousal=none, or a dataset that has them (affectnet7 or affectnet8 in the csv or npy release, facs)."
    )
