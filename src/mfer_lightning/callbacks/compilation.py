"""Compile the network with torch.compile where a compiler is available."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn

from mfer_lightning.module import FERModule
from mfer_lightning.termination import received


class CompileNetwork(Callback):
    """Run the network through ``torch.compile``; where that fails, say so in one line and go on without.

    A layer of two weights is compiled first, forwards and backwards, which fails at once where a compiler is missing.
    A network that cannot be compiled all the same falls back at its first batch. Compiled in place: the names in
    checkpoints stay as they are.
    """

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Compile, on the device that the run is on."""
        assert isinstance(pl_module, FERModule)
        try:
            self._rehearse(trainer.strategy.root_device)
        except Exception as error:  # whatever compilers, drivers and file systems raise
            if received():
                raise
            self._warn(trainer, error)
            return
        network = pl_module.network
        network.compile()
        compiled = network._compiled_call_impl
        assert compiled is not None
        network._compiled_call_impl = self._or_eager(trainer, network, compiled)

    def _rehearse(self, device: torch.device) -> None:
        layer = nn.Linear(2, 1).to(device)
        torch.compile(layer)(torch.zeros(1, 2, device=device)).sum().backward()

    def _or_eager(self, trainer: L.Trainer, network: nn.Module, compiled: Callable[..., Any]) -> Callable[..., Any]:
        """Return the compiled call, which gives way to the plain one where it cannot be compiled after all."""

        def call(*arguments: Any, **options: Any) -> Any:
            try:
                return compiled(*arguments, **options)
            except torch._dynamo.exc.TorchDynamoException as error:
                if received():  # the compiler's processes have had the signal as well
                    raise
                self._warn(trainer, error)
                network._compiled_call_impl = None
                return network(*arguments, **options)

        return call

    def _warn(self, trainer: L.Trainer, error: Exception) -> None:
        if trainer.is_global_zero:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            reason = lines[0][:200] if lines else type(error).__name__
            print(
                f"Warning: torch.compile does not work here, going on without it: {reason}", file=sys.stderr, flush=True
            )
