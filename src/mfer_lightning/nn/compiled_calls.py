"""Call compiled modules only when this is worthwhile, and fall back to eager modules if compilation fails.

``module.compile()`` replaces the call of a module. The functions here wrap that call: they choose between the compiled
and the eager version, and fall back to the eager version permanently if torch cannot compile the module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from mfer_lightning.termination import received

#: Billions of operations per second of a GPU, to estimate whether compiling is worthwhile. An H100 reached about this
#: rate with MFER-Base, uncompiled.
GPU_RATE = 1e5

#: Seconds to compile one kind of block, for the message. Measured on two CPU cores; compilation for GPUs
#: runs in parallel.
SECONDS_A_KIND = 5

#: Message if nothing can be compiled.
NO_COMPILER = "torch.compile does not work here; continuing without it"


def try_compiler(device: torch.device, *, backward: bool = True) -> None:
    """Compile a tiny layer, which fails immediately if no compiler is available.

    Args:
        device: target device.
        backward: also compile the backward pass.

    Raises:
        Exception: any error from compilers, drivers or file systems.
    """
    layer = nn.Linear(2, 1).to(device).requires_grad_(backward)
    result = torch.compile(layer)(torch.zeros(1, 2, device=device)).sum()
    if backward:
        result.backward()


def guard_calls(
    blocks: Sequence[nn.Module], wanted: Callable[..., bool], failed: Callable[[Exception], None]
) -> Sequence[nn.Module]:
    """Use the compiled call of modules on request, and the eager call permanently once compilation fails.

    Args:
        blocks: modules with ``compile()`` already called; if one fails, all fall back.
        wanted: takes the arguments of a call and returns whether to use the compiled module.
        failed: called with the error if a module cannot be compiled.

    Returns:
        The same modules.
    """
    for block in blocks:
        compiled = block._compiled_call_impl
        assert compiled is not None
        block._compiled_call_impl = _guarded(block, blocks, compiled, wanted, failed)
    return blocks


def _guarded(
    block: nn.Module,
    blocks: Sequence[nn.Module],
    compiled: Callable[..., Any],
    wanted: Callable[..., bool],
    failed: Callable[[Exception], None],
) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        if not wanted(*arguments, **options):
            return block._call_impl(*arguments, **options)
        try:
            return compiled(*arguments, **options)
        except torch._dynamo.exc.TorchDynamoException as error:
            if received():  # the compiler's processes received the signal too
                raise
            failed(error)
            for other in blocks:
                other._compiled_call_impl = None
            return block._call_impl(*arguments, **options)

    return call


def short_reason(error: Exception) -> str:
    """Return the first line of a compiler error, at most 200 characters.

    Example:
        >>> short_reason(RuntimeError("  no compiler found"))
        'no compiler found'
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__
