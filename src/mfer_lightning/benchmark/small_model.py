"""Compare training of the small model with a naive loop on the CPU, end to end from files to updated weights."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import torch

from mfer_lightning.benchmark.loading import our_loader, their_loader, write_faces
from mfer_lightning.benchmark.plain_baseline import NaiveResNet, naive_step
from mfer_lightning.benchmark.timing import interleaved, rates, speedup
from mfer_lightning.benchmark.workload import Work, our_step
from mfer_lightning.emotions import EMOTIONS
from mfer_lightning.nn import MFER, Preprocess

#: The network of experiment=ferplus_small.
NETWORK = {"name": "resnet18", "drop_path_rate": 0.1, "stem": "small", "options": {"channels": [48, 96, 192, 384]}}
SIZE, BATCH = 48, 128


def measure_small(folder: Path, faces: int, workers: int, repeats: int, bfloat16: bool) -> dict[str, Any]:
    """Train the small model with both loops in turn, from files to updated weights.

    The naive loop decodes the 48-pixel PNG files in every epoch and trains in float32. Our loop reads its data as
    in ``mfer train``, and the fraction of time spent waiting for data is measured.

    Args:
        folder: folder for faces and cache.
        faces: number of training faces.
        workers: number of loader workers of both.
        repeats: number of epochs of each loop, in turn.
        bfloat16: whether our loop computes in bfloat16 (else float32).

    Returns:
        ``faces_per_second`` of both, the speed-up ``ratio`` in wall-clock and in processor time, and
        ``share_of_time_waiting_for_data``.
    """
    root = folder / "small"
    write_faces(root, faces, side=SIZE, suffix=".png")
    classes = len(EMOTIONS)
    theirs = their_loader(root, BATCH, workers, SIZE)
    ours = our_loader(root, folder / "small-cache", BATCH, workers, SIZE)
    naive = NaiveResNet(classes, NETWORK["options"]).train()  # type: ignore[arg-type]
    adamw = torch.optim.AdamW(naive.parameters(), lr=1e-4, weight_decay=0.05)
    network = MFER(NETWORK, classes, attention="none")
    step = our_step(network, Work("resnet18", {}, SIZE, BATCH, bfloat16))
    preprocess = Preprocess(size=SIZE, mean="half", std="half", channels_last=True)
    waits: list[float] = []

    def plain() -> None:
        for image, label in theirs:
            naive_step(naive, adamw, image, label)

    def packed() -> None:
        start, busy = time.perf_counter(), 0.0
        for item in ours:
            got = time.perf_counter()
            step(preprocess(item["image"]), item["target"])
            busy += time.perf_counter() - got
        waits.append(1 - busy / (time.perf_counter() - start))

    samples = interleaved({"naive": plain, "ours": packed}, repeats)
    ratio = speedup(samples["naive"], samples["ours"])
    return {
        "batch": BATCH,
        "size": SIZE,
        "workers": workers,
        "faces_per_second": rates(samples, faces // BATCH * BATCH),
        "ratio": round(ratio.wall, 3),
        "ratio_of_processor_time": round(ratio.cpu, 3),
        "share_of_time_waiting_for_data": round(statistics.median(waits), 3),
    }
