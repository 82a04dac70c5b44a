"""The device that is measured: defaults, synchronisation, autocast and memory of the CPU and of a GPU."""

from __future__ import annotations

import gc
import os
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from mfer_lightning.errors import UserError
from mfer_lightning.memory import peak_memory_bytes


@dataclass(frozen=True)
class Device:
    """The CPU or one NVIDIA GPU.

    Args:
        type: ``"cpu"`` or ``"cuda"``.
    """

    type: str

    @property
    def is_cpu(self) -> bool:
        """Whether this is the CPU, where processor time says what the clock cannot."""
        return self.type == "cpu"

    @property
    def accelerator(self) -> str:
        """Lightning's name of it."""
        return "cpu" if self.is_cpu else "gpu"

    @property
    def calls(self) -> int:
        """Calls in one measurement: on a GPU several, so that one is prepared while another is computed."""
        return 1 if self.is_cpu else 3

    @property
    def batches(self) -> tuple[int, ...]:
        """Faces a step, unless the user says another number."""
        return (8,) if self.is_cpu else (64, 256)

    @property
    def baselines(self) -> tuple[str, ...]:
        """Arithmetic of the plain baseline, unless the user says another one."""
        return ("float32",) if self.is_cpu else ("float32", "tf32", "bfloat16")

    @property
    def workers(self) -> int:
        """Processes that read, unless the user says another number."""
        return 2 if self.is_cpu else min(8, os.cpu_count() or 1)

    @property
    def steps(self) -> int:
        """Steps of ``end_to_end`` at the most."""
        return 5 if self.is_cpu else 30

    def synchronise(self) -> None:
        """Wait until everything that was asked of the device is done; on the CPU it always is."""
        if not self.is_cpu:
            torch.cuda.synchronize()

    def autocast(self, bfloat16: bool) -> AbstractContextManager[object]:
        """Compute in bfloat16 within the block, or not."""
        return torch.autocast(self.type, torch.bfloat16, enabled=bfloat16)

    def peak_bytes(self) -> int:
        """Most memory in use so far: of this process, or of the GPU by torch's tensors."""
        return (peak_memory_bytes() or 0) if self.is_cpu else int(torch.cuda.max_memory_allocated())

    def free(self) -> None:
        """Give back what Python and torch hold without need."""
        gc.collect()
        if not self.is_cpu:
            torch.cuda.empty_cache()


def find_device(name: str) -> Device:
    """Resolve the option ``device``.

    Args:
        name: ``"cpu"``, ``"cuda"``, or ``"auto"``: a GPU where there is one.

    Raises:
        UserError: for another name, or where PyTorch finds no GPU.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise UserError(f"device={name}: choose auto, cpu or cuda.")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise UserError(
            "device=cuda: PyTorch finds no NVIDIA GPU here. Check `nvidia-smi` and that this PyTorch is built for "
            "CUDA, or say device=cpu."
        )
    return Device("cuda" if available and name != "cpu" else "cpu")
