"""How long a training will take where that is unreasonably long: said before it starts."""

from __future__ import annotations

#: Hours from which a run on a CPU is worth a word.
LONG = 3.0

#: What a core does in a second of training, thousand million operations: about what `experiment=ferplus_small` reached
#: on each of two cores of an AMD EPYC, with AVX2 in float32 and with AVX-512 BF16 in bfloat16.
RATE = {"32-true": 60.0, "bf16-mixed": 140.0}


def outlook(gflops: float, faces: int, epochs: int, cores: int, precision: str) -> str | None:
    """Say that a training on a CPU will take hours, and what to do.

    Args:
        gflops: the network's arithmetic for one face forwards, thousand million multiply-adds.
        faces: of an epoch.
        epochs: of the whole run.
        cores: that this process uses, all ranks of this machine together.
        precision: the arithmetic in use.

    Returns:
        A sentence; None below :data:`LONG` hours.

    Example:
        >>> outlook(20.5, 12271, 120, 2, "32-true").partition(" (")[0]  # the paper's network on RAF-DB
        'this will take some 419 hours at best on 2 CPU cores'
        >>> outlook(0.02, 10000, 12, 2, "32-true") is None
        True
    """
    operations = 2 * 3 * gflops * faces * epochs  # a multiply-add is two; backwards takes twice what forwards does
    hours = operations / (RATE.get(precision, RATE["32-true"]) * max(cores, 1)) / 3600
    if hours < LONG:
        return None
    return (
        f"this will take some {hours:,.0f} hours at best on {cores} CPU core{'s' * (cores > 1)} "
        f"({gflops:.3g} GFLOPs a face, {faces:,} faces, {epochs} epochs). Where there is no GPU, choose a smaller "
        "network and size, e.g. backbone=convnext_atto preprocess.size=64"
    )
