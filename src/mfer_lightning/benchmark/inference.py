"""Forward pass of the paper's network, ours against the plain baseline, and against the device."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from mfer_lightning.benchmark.arithmetic import arithmetic
from mfer_lightning.benchmark.comparison import compare, variant
from mfer_lightning.benchmark.work import Work, build, faces
from mfer_lightning.inference.load import in_bfloat16
from mfer_lightning.inference.model import FERModel
from mfer_lightning.nn import MFER, Preprocess
from mfer_lightning.nn.cost import count_gflops

_NAMES = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear")


def measure_inference(work: Work, repeats: int, ceiling: Mapping[str, float]) -> dict[str, Any]:
    """Time forward passes, in turn, and compare what they say.

    Args:
        work: what is measured.
        repeats: measurements of each variant.
        ceiling: see :func:`~mfer_lightning.benchmark.ceiling.measure`.

    Returns:
        The table of :func:`~mfer_lightning.benchmark.comparison.compare`, and the largest differences of the logits, in
        float32 and as measured, over the largest logit.
    """
    naive, ours = build(work)
    naive.eval()
    image, _ = faces(work)
    operations = 2 * count_gflops(ours, work.size) * work.batch
    pixels = Preprocess(size=work.size).to(work.device)(image)
    model = _model(ours, work)
    compiled = _model(copy.deepcopy(ours), work) if work.compile else None
    with arithmetic("float32", work.where):
        with torch.inference_mode():
            wanted = torch.stack(naive(pixels)).sum(0)
        differences = {"float32": _difference(model(image)["logits"], wanted)}
    if work.bfloat16:
        in_bfloat16(model)
        differences["bfloat16"] = _difference(model(image)["logits"], wanted)

    def plain(name: str) -> Callable[[], None]:
        def call() -> None:
            with torch.no_grad(), arithmetic(name, work.where):
                naive(pixels)

        return call

    works: dict[str, Callable[[], object]] = {variant(name): plain(name) for name in work.baselines}
    works["ours"] = lambda: model(image)
    if compiled is not None:
        if work.bfloat16:
            in_bfloat16(compiled)
        compiled.network.compile()
        works["ours_compiled"] = lambda: compiled(image)
    return {
        **compare(works, repeats, operations, work, ceiling),
        "relative_difference_of_logits": differences,
    }


def _model(network: MFER, work: Work) -> FERModel:
    return FERModel(network.to(memory_format=torch.channels_last), Preprocess(size=work.size).to(work.device), _NAMES)


def _difference(found: Tensor, wanted: Tensor) -> float:
    return float((found.float() - wanted).abs().max() / wanted.abs().max())
