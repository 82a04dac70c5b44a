"""The device to measure: defaults, precision, synchronisation and memory of the CPU and of a GPU."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import torch

from mfer_lightning.errors import UserError
from mfer_lightning.memory import peak_memory_bytes

#: float32; float32 with the inputs of matrix products and convolutions rounded to TF32 (NVIDIA GPUs since Ampere);
#: bfloat16 through autocast.
ARITHMETIC = ("float32", "tf32", "bfloat16")


@dataclass(frozen=True)
class Device:
    """The CPU or one NVIDIA GPU, with the default settings of a measurement.

    Args:
        type: ``"cpu"`` or ``"cuda"``.
        accelerator: name of the device in Lightning.
        calls: calls per measurement; several on a GPU, so that the CPU can queue one while the GPU computes another.
        batches: default numbers of faces per step.
        baselines: default precisions of the plain baseline.
        workers: default number of loader workers.
        steps: maximum number of steps of ``end_to_end``.
    """

    type: str
    accelerator: str
    calls: int
    batches: tuple[int, ...]
    baselines: tuple[str, ...]
    workers: int
    steps: int

    @property
    def is_cpu(self) -> bool:
        """Whether this is the CPU, where processor time is meaningful."""
        return self.type == "cpu"

    @property
    def arithmetic(self) -> tuple[str, ...]:
        """The precisions that can be measured on the device, out of :data:`ARITHMETIC`."""
        return ("float32", "bfloat16") if self.is_cpu else ARITHMETIC

    def synchronise(self) -> None:
        """Wait until the device has finished all work. On the CPU, this returns immediately."""
        if not self.is_cpu:
            torch.cuda.synchronize()

    def autocast(self, bfloat16: bool) -> AbstractContextManager[object]:
        """Enable or disable bfloat16 autocast within the block."""
        return torch.autocast(self.type, torch.bfloat16, enabled=bfloat16)

    @contextmanager
    def computing_in(self, name: str) -> Iterator[None]:
        """Set the precision within the block or the decorated function.

        Args:
            name: one of :data:`ARITHMETIC`.
        """
        precision, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
        if name != "bfloat16":  # by default, torch uses TF32 for convolutions, but not for matrix products
            torch.set_float32_matmul_precision("high" if name == "tf32" else "highest")
            torch.backends.cudnn.allow_tf32 = name == "tf32"
        try:
            with self.autocast(name == "bfloat16"):
                yield
        finally:
            torch.set_float32_matmul_precision(precision)
            torch.backends.cudnn.allow_tf32 = convolutions

    def peak_bytes(self) -> int:
        """Return the peak memory so far in bytes: of this process, or on a GPU, of torch's tensors."""
        return (peak_memory_bytes() or 0) if self.is_cpu else int(torch.cuda.max_memory_allocated())

    def free(self) -> None:
        """Collect garbage, and release unused cached GPU memory."""
        gc.collect()
        if not self.is_cpu:
            torch.cuda.empty_cache()


CPU = Device("cpu", "cpu", calls=1, batches=(8,), baselines=("float32",), workers=2, steps=5)
_READERS = min(8, os.cpu_count() or 1)
GPU = Device("cuda", "gpu", calls=3, batches=(64, 256), baselines=ARITHMETIC, workers=_READERS, steps=30)


def find_device(name: str) -> Device:
    """Resolve the option ``device``.

    Args:
        name: ``"cpu"``, ``"cuda"``, or ``"auto"``: a GPU if there is one.

    Raises:
        UserError: for another name, or if PyTorch finds no GPU.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise UserError(f"device={name}: choose auto, cpu or cuda.")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise UserError(
            "device=cuda: PyTorch finds no NVIDIA GPU here. Check `nvidia-smi` and that this PyTorch is built for "
            "CUDA, or use device=cpu."
        )
    return GPU if available and name != "cpu" else CPU
