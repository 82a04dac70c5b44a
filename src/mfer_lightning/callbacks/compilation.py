"""Compile the network with torch.compile where a compiler is available and the training is long enough."""

from __future__ import annotations

import os
import sys

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback

from mfer_lightning.data.images.cache import default_cache_dir
from mfer_lightning.module import FERModule
from mfer_lightning.nn.compiled_calls import guard_calls, short_reason, try_compiler
from mfer_lightning.nn.cost import count_gflops
from mfer_lightning.nn.regions import compile_blocks, count_kinds
from mfer_lightning.termination import received

#: ``auto`` compiles from here on: seconds of training, by a rough count.
PAYS_FROM = 600.0

#: For that count: thousand million operations a second of a GPU. An H100 reached about this with MFER-Base, uncompiled.
GPU_RATE = 1e5

#: Seconds that a kind of block takes, for the message. Measured on two CPU cores; GPUs compile in parallel.
SECONDS_A_KIND = 5

#: What is said where nothing can be compiled.
NO_COMPILER = "torch.compile does not work here, going on without it"


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
            try_compiler(trainer.strategy.root_device)
        except Exception as error:  # whatever compilers, drivers and file systems raise
            if received():
                raise
            self._warn(trainer, error)
            return
        network = pl_module.network
        if self.mode != "whole" and (blocks := compile_blocks(network)):
            kinds = count_kinds(blocks)
            self._say(trainer, f"{kinds} kinds of blocks", kinds * SECONDS_A_KIND)
        else:
            blocks = [network]
            network.compile()
            self._say(trainer, "the network as one graph", 2 * 60)
        # Evaluation takes the plain call: a graph of its own would take longer to compile than it saves, and a result
        # does not depend on whether the training was compiled.
        guard_calls(blocks, lambda *_, **__: torch.is_grad_enabled(), lambda error: self._warn(trainer, error))

    def _say(self, trainer: L.Trainer, what: str, seconds: int) -> None:
        if trainer.is_global_zero:
            print(
                f"Compiling {what} at the first steps: about {seconds} s, once; later runs find the results in "
                f"{os.environ['TORCHINDUCTOR_CACHE_DIR']}.",
                flush=True,
            )

    def _warn(self, trainer: L.Trainer, error: Exception) -> None:
        if trainer.is_global_zero:
            print(f"Warning: {NO_COMPILER}: {short_reason(error)}", file=sys.stderr, flush=True)


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
    return bool(2 * 3 * count_gflops(module.network, size) * faces / GPU_RATE >= PAYS_FROM)


def use_lasting_cache() -> None:
    """Keep what is compiled in the cache folder, unless ``TORCHINDUCTOR_CACHE_DIR`` says otherwise.

    torch's own place is in the folder for temporary files, which a restart of the machine empties.
    """
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(default_cache_dir() / "compiled"))
