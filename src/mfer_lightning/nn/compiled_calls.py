"""Call compiled modules where they were compiled for the case at hand, and the plain ones otherwise.

``module.compile()`` replaces the call of a module. What is here stands before that call: it decides which of the two
is taken, and goes back to the plain one for good where torch cannot compile the module after all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from mfer_lightning.termination import received


def try_compiler(device: torch.device, *, backward: bool = True) -> None:
    """Compile a layer of two weights, which fails at once where a compiler is missing.

    Args:
        device: what is compiled for.
        backward: the gradient as well.

    Raises:
        Exception: whatever compilers, drivers and file systems raise.
    """
    layer = nn.Linear(2, 1).to(device).requires_grad_(backward)
    result = torch.compile(layer)(torch.zeros(1, 2, device=device)).sum()
    if backward:
        result.backward()


def guard_calls(
    blocks: Sequence[nn.Module], wanted: Callable[..., bool], failed: Callable[[Exception], None]
) -> Sequence[nn.Module]:
    """Take the compiled call of modules only where it is wanted, and for good the plain one where compiling fails.

    Args:
        blocks: modules whose ``compile()`` was called; one that fails takes the others with it.
        wanted: of the arguments of a call, whether the compiled module is called.
        failed: told of the error of a module that cannot be compiled.

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
            if received():  # the compiler's processes have had the signal as well
                raise
            failed(error)
            for other in blocks:
                other._compiled_call_impl = None
            return block._call_impl(*arguments, **options)

    return call


def short_reason(error: Exception) -> str:
    """Return the first line of what a compiler raised, at most 200 characters.

    Example:
        >>> short_reason(RuntimeError("  no compiler found"))
        'no compiler found'
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__
