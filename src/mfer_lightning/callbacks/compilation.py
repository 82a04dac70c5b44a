"""Compile the network with torch.compile where a compiler is available and the training is long enough."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn

from mfer_lightning.module import FERModule
from mfer_lightning.nn.cost import count_gflops
from mfer_lightning.nn.regions import compile_blocks, count_kinds
from mfer_lightning.termination import received

#: ``auto`` compiles from here on: seconds of training, by a rough count.
PAYS_FROM = 600.0

#: For that count: thousand million operations a second of a GPU. An H100 reached about this with MFER-Base, uncompiled.
_GPU_RATE = 1e5

#: Seconds that a kind of block takes, for the message. Measured on two CPU cores; GPUs compile in parallel.
_SECONDS_A_KIND = 5


class CompileNetwork(Callback):
    """Run the network through ``torch.compile``; where that fails, say so in one line and go on without.

    A layer of two weights is compiled first, forwards and backwards, which fails at once where a compiler is missing.
    A network that cannot be compiled all the same falls back at its first batch. Compiled in place: the names in
    checkpoints stay as they are. Results are kept in the cache folder, so that a second run starts quickly.

    Args:
        mode: ``"blocks"`` compiles each kind of repeated block once, ``"whole"`` the network as one graph, and
            ``"auto"`` the blocks, where the training runs on a GPU and lasts ten minutes or more by a rough count.

    Raises:
        ValueError: for another mode.
    """

    def __init__(self, mode: str = "blocks") -> None:
        if mode not in ("auto", "blocks", "whole"):
            raise ValueError(f"Expected argument `mode` to be 'auto', 'blocks' or 'whole', but got {mode!r}.")
        self.mode = mode

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Compile, on the device that the run is on."""
        assert isinstance(pl_module, FERModule)
        if self.mode == "auto" and not pays_to_compile(trainer, pl_module):
            return
        use_lasting_cache()
        try:
            self._rehearse(trainer.strategy.root_device)
        except Exception as error:  # whatever compilers, drivers and file systems raise
            if received():
                raise
            self._warn(trainer, error)
            return
        network = pl_module.network
        if self.mode != "whole" and (blocks := compile_blocks(network)):
            kinds = count_kinds(blocks)
            self._say(trainer, f"{kinds} kinds of blocks", kinds * _SECONDS_A_KIND)
        else:
            blocks = [network]
            network.compile()
            self._say(trainer, "the network as one graph", 2 * 60)
        for block in blocks:
            compiled = block._compiled_call_impl
            assert compiled is not None
            block._compiled_call_impl = self._or_eager(trainer, block, blocks, compiled)

    def _rehearse(self, device: torch.device) -> None:
        layer = nn.Linear(2, 1).to(device)
        torch.compile(layer)(torch.zeros(1, 2, device=device)).sum().backward()

    def _or_eager(
        self, trainer: L.Trainer, block: nn.Module, blocks: list[nn.Module], compiled: Callable[..., Any]
    ) -> Callable[..., Any]:
        """Return the compiled call, which gives way to the plain one where it cannot be compiled after all.

        Evaluation takes the plain one: a graph of its own would take longer to compile than it saves, and a result
        does not depend on whether the training was compiled.
        """

        def call(*arguments: Any, **options: Any) -> Any:
            if not torch.is_grad_enabled():
                return block._call_impl(*arguments, **options)
            try:
                return compiled(*arguments, **options)
            except torch._dynamo.exc.TorchDynamoException as error:
                if received():  # the compiler's processes have had the signal as well
                    raise
                self._warn(trainer, error)
                for other in blocks:
                    other._compiled_call_impl = None
                return block._call_impl(*arguments, **options)

        return call

    def _say(self, trainer: L.Trainer, what: str, seconds: int) -> None:
        if trainer.is_global_zero:
            print(
                f"Compiling {what} at the first steps: about {seconds} s, once; later runs find the results in "
                f"{os.environ['TORCHINDUCTOR_CACHE_DIR']}.",
                flush=True,
            )

    def _warn(self, trainer: L.Trainer, error: Exception) -> None:
        if trainer.is_global_zero:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            reason = lines[0][:200] if lines else type(error).__name__
            print(
                f"Warning: torch.compile does not work here, going on without it: {reason}", file=sys.stderr, flush=True
            )


def pays_to_compile(trainer: L.Trainer, module: FERModule) -> bool:
    """Whether a training is on a GPU and long enough for compilation to save more time than it takes.

    Counted from the network's arithmetic and the faces to train on, not measured: the same command decides alike
    each time.
    """
    if trainer.strategy.root_device.type != "cuda":
        return False
    size = int(getattr(module.preprocess, "size", None) or 224)
    batches = float(trainer.estimated_stepping_batches) * int(trainer.accumulate_grad_batches)
    faces = batches * int(getattr(trainer.datamodule, "batch_size", 1))  # type: ignore[attr-defined]
    return bool(2 * 3 * count_gflops(module.network, size) * faces / _GPU_RATE >= PAYS_FROM)


def use_lasting_cache() -> None:
    """Keep what is compiled in the cache folder, unless ``TORCHINDUCTOR_CACHE_DIR`` says otherwise.

    torch's own place is in the folder for temporary files, which a restart of the machine empties.
    """
    folder = Path(os.environ.get("MFER_CACHE") or "~/.cache/mfer_lightning").expanduser() / "compiled"
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder))
