"""Test whether predictions depend on mirroring or on the rest of the batch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from mfer_lightning.analysis.corruptions import mirror
from mfer_lightning.analysis.forward_passes import Passes
from mfer_lightning.evaluation.intervals import wilson
from mfer_lightning.views import ONE_VIEW

#: Largest allowed difference of logits, relative to the largest logit: on CPUs, and on devices that may round the
#: inputs of matrix products to TF32. It is not 0 because the choice of kernels depends on the batch size.
TOLERANCE, TOLERANCE_ELSEWHERE = 1e-3, 1e-2

#: Maximum number of faces to predict one by one.
ALONE = 64


def flip_consistency(passes: Passes) -> dict[str, Any]:
    """Compare the predictions for faces and for their mirror images, without test-time augmentation.

    Returns:
        ``n``, ``equal`` (proportion of equal predictions) with its 95% Wilson interval ``low`` and ``high``, and
        ``total_variation`` (mean total variation distance between the two probability distributions, 0 to 1).
    """
    plain = passes.logits("plain", None, ONE_VIEW) if passes.subject.views.count > 1 else passes.logits("clean")
    mirrored = passes.logits("mirror", mirror, ONE_VIEW)
    equal = plain.argmax(axis=1) == mirrored.argmax(axis=1)
    low, high = wilson(int(equal.sum()), len(equal))
    p, q = softmax(np.stack([plain, mirrored]).astype(np.float64), axis=2)
    distance = np.abs(p - q).sum(axis=1) / 2
    return {
        "n": len(equal),
        "equal": float(equal.mean()),
        "low": low,
        "high": high,
        "total_variation": float(distance.mean()),
    }


def batch_invariance(passes: Passes, seed: int = 0) -> dict[str, Any]:
    """Test whether the prediction for a face depends on the other faces in its batch.

    All faces are predicted in a shuffled order, and some of them one by one. Both are compared with the usual
    predictions.

    Args:
        passes: the model and the faces.
        seed: seed of the order and of the sample.

    Returns:
        ``passes`` (whether all differences are within the tolerance); ``tolerance``; ``shuffled`` and ``alone``, each
        with ``n``, ``largest_difference`` (of logits, relative to the largest logit) and ``changed`` (number of faces
        whose predicted class differs); ``suspects``, the result of :func:`batch_statistics`.
    """
    subject = passes.subject
    clean = passes.logits("clean")
    rng = np.random.default_rng(seed)
    shuffled = passes.run("shuffled", rng.permutation(subject.positions))
    some = np.sort(rng.choice(len(subject.positions), min(ALONE, len(subject.positions)), replace=False))
    alone = _one_by_one(passes, subject.positions[some])
    result = {"shuffled": _difference(clean, shuffled), "alone": _difference(clean[some], alone)}
    tolerance = TOLERANCE if subject.model.device.type == "cpu" else TOLERANCE_ELSEWHERE
    return {
        "passes": all(part["largest_difference"] <= tolerance for part in result.values()),
        "tolerance": tolerance,
        **result,
        "suspects": batch_statistics(subject.model.network),
    }


def batch_statistics(network: nn.Module) -> list[str]:
    """Return the names of modules that normalise with batch statistics even in evaluation mode."""
    return [
        name
        for name, module in network.named_modules()
        if isinstance(module, _NormBase)
        and "BatchNorm" in type(module).__name__
        and (module.training or module.running_mean is None)
    ]


def _one_by_one(passes: Passes, positions: NDArray[np.int64]) -> NDArray[np.float32]:
    subject = passes.subject
    found = []
    for batch in subject.datamodule.predict_dataloader(subject.split, positions):
        for i in range(len(batch["image"])):
            output = subject.model(batch["image"][i : i + 1], views=subject.views)
            found.append(output["logits"].cpu().numpy())
    return np.concatenate(found)[:, subject.match.columns]


def _difference(a: NDArray[np.float32], b: NDArray[np.float32]) -> dict[str, Any]:
    scale = max(float(np.abs(a).max()), 1e-6)
    return {
        "n": len(a),
        "largest_difference": float(np.abs(a.astype(np.float64) - b).max()) / scale,
        "changed": int((a.argmax(axis=1) != b.argmax(axis=1)).sum()),
    }
