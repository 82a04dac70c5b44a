"""Training step of the paper's network, ours against the plain baseline, and against the device."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from mfer_lightning.benchmark.arithmetic import arithmetic
from mfer_lightning.benchmark.comparison import compare, variant
from mfer_lightning.benchmark.naive import naive_step
from mfer_lightning.benchmark.work import CLASSES, Work, build, faces, our_step
from mfer_lightning.nn import Preprocess
from mfer_lightning.nn.cost import count_gflops


def measure_training(work: Work, repeats: int, ceiling: Mapping[str, float]) -> dict[str, Any]:
    """Time training steps, in turn.

    Args:
        work: what is measured.
        repeats: measurements of each variant.
        ceiling: see :func:`~mfer_lightning.benchmark.ceiling.measure`.

    Returns:
        The table of :func:`~mfer_lightning.benchmark.comparison.compare`.
    """
    naive, ours = build(work)
    image, label = faces(work)
    pixels = Preprocess(size=work.size).to(work.device)(image)
    target = nn.functional.one_hot(label, CLASSES).float()
    operations = 3 * 2 * count_gflops(ours, work.size) * work.batch
    adamw = torch.optim.AdamW(naive.parameters(), lr=1e-5, weight_decay=0.05)
    naive.train()

    def plain(name: str) -> Callable[[], None]:
        def call() -> None:
            with arithmetic(name, work.where):  # autocast around the backward pass as well does nothing there
                naive_step(naive, adamw, pixels, target)

        return call

    works = {variant(name): plain(name) for name in work.baselines}
    step = our_step(ours, work)
    works["ours"] = lambda: step(pixels, target)
    if work.compile:
        network = copy.deepcopy(ours)
        network.compile()
        compiled = our_step(network, work)
        works["ours_compiled"] = lambda: compiled(pixels, target)
    return compare(works, repeats, operations, work, ceiling)
