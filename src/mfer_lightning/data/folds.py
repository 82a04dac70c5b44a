"""Folds by subject: the faces of each subject are tested once, with a network that was not trained on this subject."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.data.protocols import Protocol
from mfer_lightning.errors import UserError


def split_by_subject(group: NDArray[np.int64], protocol: Protocol) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Select the test and validation subjects of one fold.

    Subjects are assigned to folds round-robin, in the order of their numbers: with ten folds, fold 0 gets the first
    subject, the eleventh, and so on. Fold ``protocol.fold`` is the test set. The validation set consists of the folds
    that follow it: a fraction ``protocol.holdout_fraction`` of all folds, at least one. The first fold follows the
    last.

    Args:
        group: (N,) the subject of each face.
        protocol: a protocol with ``folds`` and ``fold``.

    Returns:
        Two (N,) bool masks: of the test faces and of the validation faces. No subject is in both.

    Raises:
        UserError: if the fold does not exist, or there are too few subjects for the folds.

    Example:
        >>> test, val = split_by_subject(np.array([0, 0, 1, 2, 3]), Protocol("mine@loso", (), folds="loso", fold=1))
        >>> test.tolist(), val.tolist()
        ([False, False, True, False, False], [False, False, False, True, False])
    """
    subjects, place = np.unique(group, return_inverse=True)
    count = len(subjects) if protocol.folds == "loso" else int(protocol.folds or 0)
    if count < 3 or len(subjects) < count:
        least = 3 if protocol.folds == "loso" else max(count, 3)
        raise UserError(
            f"{protocol.name} needs at least {least} subjects for training, selection and test, "
            f"but the files contain {len(subjects)}. Unpack the rest of the dataset, or choose another protocol."
        )
    if not 0 <= protocol.fold < count:
        raise UserError(
            f"dataset.fold={protocol.fold} is not one of the {count} folds of {protocol.name}: use 0 to {count - 1}."
        )
    fold = place % count
    held = max(1, round(protocol.holdout_fraction * count))
    ahead = (fold - protocol.fold) % count
    return ahead == 0, (ahead > 0) & (ahead <= held)


def describe_fold(group: NDArray[np.int64] | None, protocol: Protocol) -> dict[str, int] | None:
    """Return the test fold (``fold``) and the number of folds (``of``) for a result; None without folds."""
    if protocol.folds is None or group is None:
        return None
    return {"fold": protocol.fold, "of": len(np.unique(group)) if protocol.folds == "loso" else protocol.folds}
