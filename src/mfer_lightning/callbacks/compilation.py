"""Compile the network with torch.compile if a compiler is available and training is long enough."""

from __future__ import annotations

import os
import sys

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback

from mfer_lightning.data.images.cache import default_cache_dir
from mfer_lightning.module import FERModule
from mfer_lightning.nn.compiled_calls import (
    GPU_RATE,
    NO_COMPILER,
    SECONDS_A_KIND,
    guard_calls,
    short_reason,
    try_compiler,
)
from mfer_lightning.nn.cost import count_gflops
from mfer_lightning.nn.regions import compile_blocks, count_kinds
from mfer_lightning.plurals import counted
from mfer_lightning.termination import received

#: Minimum estimated training time in seconds for ``auto`` to compile.
PAYS_FROM = 600.0


class CompileNetwork(Callback):
    """Run the network through ``torch.compile``; if that fails, print one line and continue without it.

    First, a tiny linear layer is compiled, forward and backward, to detect immediately whether a compiler is
    available. If compiling the network fails anyway, the network falls back to eager mode at the first batch.
    Compilation is in place, so the names in checkpoints do not change. Compiled code is kept in the cache folder, so
    that later runs start faster.

    Args:
        mode: ``"blocks"`` compiles each kind of repeated block once, ``"whole"`` compiles the network as one graph, and
            ``"auto"`` compiles the blocks if training runs on a GPU for an estimated ten minutes or more.

    Raises:
        ValueError: for any other mode.
    """

    def __init__(self, mode: str = "blocks") -> None:
        if mode not in ("auto", "blocks", "whole"):
            raise ValueError(f"Expected argument `mode` to be 'auto', 'blocks' or 'whole', but got {mode!r}.")
        self.mode = mode

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Compile for the device of the run."""
        assert isinstance(pl_module, FERModule)
        if self.mode == "auto" and not pays_to_compile(trainer, pl_module):
            return
        use_lasting_cache()
        try:
            try_compiler(trainer.strategy.root_device)
        except Exception as error:  # compilers, drivers and file systems raise various errors
            if received():
                raise
            self._warn(trainer, error)
            return
        network = pl_module.network
        if self.mode != "whole" and (blocks := compile_blocks(network)):
            kinds = count_kinds(blocks)
            self._say(trainer, counted(kinds, "kind of block", "kinds of blocks"), kinds * SECONDS_A_KIND)
        else:
            blocks = [network]
            network.compile()
            self._say(trainer, "the network as one graph", 2 * 60)
        # Evaluation uses eager mode, because compiling the evaluation graph would take longer than it saves.
        # Therefore, the same weights give the same results, whether training was compiled or not.
        guard_calls(blocks, lambda *_, **__: torch.is_grad_enabled(), lambda error: self._warn(trainer, error))

    def _say(self, trainer: L.Trainer, what: str, seconds: int) -> None:
        if trainer.is_global_zero:
            print(
                f"Compiling {what} in the first steps takes about {seconds} s, once; later runs reuse the results in "
                f"{os.environ['TORCHINDUCTOR_CACHE_DIR']}.",
                flush=True,
            )

    def _warn(self, trainer: L.Trainer, error: Exception) -> None:
        if trainer.is_global_zero:
            print(f"Warning: {NO_COMPILER}: {short_reason(error)}", file=sys.stderr, flush=True)


def pays_to_compile(trainer: L.Trainer, module: FERModule) -> bool:
    """Whether training runs on a GPU and takes long enough for compilation to save time.

    The time is estimated from the multiply-adds of the network and the number of faces processed in all epochs. It is
    not measured, so the same command always gives the same decision.
    """
    if trainer.strategy.root_device.type != "cuda":
        return False
    size = int(getattr(module.preprocess, "size", None) or 224)
    batches = float(trainer.estimated_stepping_batches) * int(trainer.accumulate_grad_batches)
    faces = batches * int(getattr(trainer.datamodule, "batch_size", 1))  # type: ignore[attr-defined]
    return bool(2 * 3 * count_gflops(module.network, size) * faces / GPU_RATE >= PAYS_FROM)


def use_lasting_cache() -> None:
    """Keep compiled code in the cache folder, unless ``TORCHINDUCTOR_CACHE_DIR`` is set.

    By default, torch uses the folder for temporary files, which may be cleared when the machine restarts.
    """
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(default_cache_dir() / "compiled"))
