"""The workload for timing networks: our network, the plain baseline, faces, and a training step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mfer_lightning.benchmark.device import CPU, GPU, Device
from mfer_lightning.benchmark.plain_baseline import NaiveMFER, same_weights
from mfer_lightning.losses import CrossEntropy, Objective
from mfer_lightning.nn import MFER, Preprocess
from mfer_lightning.optim import build_optimizer, parameter_groups

CLASSES = 7


@dataclass(frozen=True)
class Work:
    """The workload.

    Args:
        backbone: name of a ConvNeXt in timm.
        options: arguments of its constructor.
        size: side of a face in pixels.
        batch: faces per step.
        bfloat16: whether our network computes in bfloat16 (else float32).
        device: ``"cpu"`` or ``"cuda"``.
        baselines: precisions of the plain baseline, see :data:`.device.ARITHMETIC`.
        compile: whether to measure our network with ``torch.compile`` as well.
    """

    backbone: str
    options: Mapping[str, Any]
    size: int
    batch: int
    bfloat16: bool
    device: str = "cpu"
    baselines: tuple[str, ...] = ("float32",)
    compile: bool = False

    @property
    def where(self) -> Device:
        """The device."""
        return CPU if self.device == CPU.type else GPU


def our_network(work: Work) -> MFER:
    """Build our network, on torch's default device."""
    return MFER({"name": work.backbone, "options": dict(work.options), "drop_path_rate": 0.25}, CLASSES)


def build(work: Work) -> tuple[NaiveMFER, MFER]:
    """Build the baseline and our network with the same weights, on the device."""
    ours, naive = our_network(work), NaiveMFER(work.backbone, CLASSES, work.options)
    same_weights(naive, ours)
    return naive.to(work.device), ours.to(work.device)


def faces(work: Work) -> tuple[Tensor, Tensor]:
    """Create random uint8 faces (B,3,S,S) and int64 labels (B,) on the device. Their content does not affect speed."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (work.batch, 3, work.size, work.size), generator=generator, dtype=torch.uint8)
    label = torch.randint(0, CLASSES, (work.batch,), generator=generator)
    return image.to(work.device), label.to(work.device)


def normalised(work: Work) -> tuple[Tensor, Tensor]:
    """Create preprocessed faces (B,3,S,S) and one-hot targets (B,K) on the device."""
    image, label = faces(work)
    return Preprocess(size=work.size).to(work.device)(image), nn.functional.one_hot(label, CLASSES).float()


def our_step(network: nn.Module, work: Work) -> Callable[[Tensor, Tensor], None]:
    """Return a training step as in ``mfer train``, but without Lightning.

    The ``overhead`` part of the benchmark measures what Lightning, our callbacks and logging add.

    Args:
        network: our network.
        work: the workload.

    Returns:
        A function of normalised images (B,3,S,S) and targets (B,K).
    """
    network.to(memory_format=torch.channels_last).train()
    objective = Objective(CrossEntropy(label_smoothing=0.1))
    optimizer = build_optimizer(parameter_groups(network, objective, lr=1e-5, weight_decay=0.05), lr=1e-5)

    def step(image: Tensor, target: Tensor) -> None:
        optimizer.zero_grad()
        with work.where.autocast(work.bfloat16):
            terms = objective(network(image.contiguous(memory_format=torch.channels_last)), target)
        terms["total"].backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()

    return step


def bare_step(work: Work, checkpointing: bool = False) -> Callable[[], None]:
    """Return a training step of our network that uses the same faces each time.

    Args:
        work: the workload.
        checkpointing: whether to use gradient checkpointing.
    """
    network = our_network(work)
    network.backbone.set_checkpointing(checkpointing)
    step = our_step(network.to(work.device), work)
    pixels, target = normalised(work)
    return lambda: step(pixels, target)
