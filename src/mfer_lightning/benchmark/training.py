"""Training step and inference of the paper's network, ours against the plain baseline, and against the machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mfer_lightning.benchmark.naive import NaiveMFER, naive_step, same_weights
from mfer_lightning.benchmark.timing import interleaved, median, speedup
from mfer_lightning.inference.load import in_bfloat16
from mfer_lightning.inference.model import FERModel
from mfer_lightning.losses import CrossEntropy, Objective
from mfer_lightning.nn import MFER, Preprocess
from mfer_lightning.nn.cost import count_gflops
from mfer_lightning.optim import build_optimizer, parameter_groups

CLASSES = 7
_NAMES = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear")


@dataclass(frozen=True)
class Work:
    """What is measured: a backbone with options for timm, the side of a face in pixels, faces a step."""

    backbone: str
    options: Mapping[str, Any]
    size: int
    batch: int
    bfloat16: bool

    @property
    def autocast_dtype(self) -> torch.dtype:
        """Of the matrix products."""
        return torch.bfloat16 if self.bfloat16 else torch.float32


def build(work: Work) -> tuple[NaiveMFER, MFER]:
    """Build the baseline and our network with the same weights."""
    backbone = {"name": work.backbone, "options": dict(work.options), "drop_path_rate": 0.25}
    ours = MFER(backbone, CLASSES)
    naive = NaiveMFER(work.backbone, CLASSES, work.options)
    same_weights(naive, ours)
    return naive, ours


def faces(work: Work) -> tuple[Tensor, Tensor]:
    """Make uint8 faces and labels: noise, since arithmetic does not look at what it adds."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (work.batch, 3, work.size, work.size), generator=generator, dtype=torch.uint8)
    return image, torch.randint(0, CLASSES, (work.batch,), generator=generator)


def our_step(network: nn.Module, work: Work) -> Callable[[Tensor, Tensor], None]:
    """Return one step of training as ``mfer train`` makes it, without Lightning: see the part ``overhead``."""
    network.to(memory_format=torch.channels_last).train()
    objective = Objective(CrossEntropy(label_smoothing=0.1))
    optimizer = build_optimizer(parameter_groups(network, objective, lr=1e-5, weight_decay=0.05), lr=1e-5)

    def step(image: Tensor, target: Tensor) -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", work.autocast_dtype, enabled=work.bfloat16):
            terms = objective(network(image.contiguous(memory_format=torch.channels_last)), target)
        terms["total"].backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()

    return step


def measure_training(work: Work, repeats: int, ceiling: Mapping[str, float]) -> dict[str, Any]:
    """Time training steps of both, in turn.

    Returns:
        Seconds a step, the ratio, operations counted and the share of the ceiling that is reached.
    """
    naive, ours = build(work)
    image, label = faces(work)
    pixels = Preprocess(size=work.size)(image)
    target = nn.functional.one_hot(label, CLASSES).float()
    adamw = torch.optim.AdamW(naive.parameters(), lr=1e-5, weight_decay=0.05)
    step = our_step(ours, work)
    samples = interleaved(
        {
            "naive": lambda: naive_step(naive.train(), adamw, pixels, target),
            "ours": lambda: step(pixels, target),
        },
        repeats,
    )
    return _table(samples, 3 * 2 * count_gflops(ours, work.size) * work.batch, work, ceiling)


def measure_inference(work: Work, repeats: int, ceiling: Mapping[str, float]) -> dict[str, Any]:
    """Time forward passes of both, in turn, and compare what they say.

    Returns:
        As :func:`measure_training`, and the largest differences of the logits, in float32 and as measured, over the
        largest logit.
    """
    naive, ours = build(work)
    naive.eval()
    image, _ = faces(work)
    model = FERModel(ours.to(memory_format=torch.channels_last), Preprocess(size=work.size), _NAMES)
    pixels = Preprocess(size=work.size)(image)
    with torch.inference_mode():
        wanted = torch.stack(naive(pixels)).sum(0)
    differences = {"float32": _difference(model(image)["logits"], wanted)}
    if work.bfloat16:
        in_bfloat16(model)
        differences["bfloat16"] = _difference(model(image)["logits"], wanted)

    def plain() -> None:
        with torch.no_grad():
            naive(pixels)

    samples = interleaved({"naive": plain, "ours": lambda: model(image)}, repeats)
    return {
        **_table(samples, 2 * count_gflops(ours, work.size) * work.batch, work, ceiling),
        "relative_difference_of_logits": differences,
    }


def _table(samples: Mapping[str, Any], operations: float, work: Work, ceiling: Mapping[str, float]) -> dict[str, Any]:
    ratio = speedup(samples["naive"], samples["ours"])
    seconds = {name: median(found).wall for name, found in samples.items()}
    processor = {name: median(found).cpu for name, found in samples.items()}
    dtypes = {"naive": "float32", "ours": "bfloat16" if work.bfloat16 else "float32"}
    return {
        "batch": work.batch,
        "size": work.size,
        "gflop": round(operations, 1),
        "seconds": {name: round(value, 4) for name, value in seconds.items()},
        "faces_per_second": {name: round(work.batch / value, 2) for name, value in seconds.items()},
        "ratio": round(ratio.wall, 3),
        "ratio_of_processor_time": round(ratio.cpu, 3),
        "share_of_gemm_ceiling": {
            name: round(operations / value / ceiling[f"gemm_{dtypes[name]}"], 3) for name, value in seconds.items()
        },
        "processor_seconds": {name: round(value, 3) for name, value in processor.items()},
        "share_of_gemm_ceiling_of_a_core": {
            name: round(operations / value / ceiling[f"gemm_{dtypes[name]}_core"], 3)
            for name, value in processor.items()
        },
    }


def _difference(found: Tensor, wanted: Tensor) -> float:
    return float((found.float() - wanted).abs().max() / wanted.abs().max())
