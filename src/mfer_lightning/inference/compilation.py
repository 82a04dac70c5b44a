"""Compile a loaded model for batches of one size, on request or if enough faces are expected."""

from __future__ import annotations

import os
import sys
from typing import Any

from torch import Tensor

from mfer_lightning.errors import UserError
from mfer_lightning.inference.model import FERModel
from mfer_lightning.nn.compiled_calls import (
    GPU_RATE,
    NO_COMPILER,
    SECONDS_A_KIND,
    guard_calls,
    short_reason,
    try_compiler,
)
from mfer_lightning.nn.cost import count_gflops
from mfer_lightning.plurals import counted
from mfer_lightning.termination import received

#: ``auto`` compiles if the forward passes are estimated to take at least this many seconds. Compiling a forward pass
#: takes about a third of the time of compiling a training step, and gives about the same speed-up.
PAYS_FROM = 120.0

_LEGAL: dict[str, bool | str] = {"auto": "auto", "true": True, "false": False, "1": True, "0": False}


def check_compile(compile: Any) -> bool | str:
    """Read the option ``compile``.

    Returns:
        ``"auto"``, True or False.

    Raises:
        UserError: for anything else.
    """
    said = str(compile).lower()
    if said not in _LEGAL:
        raise UserError(f"compile={compile}: the value must be true, false or auto.")
    return _LEGAL[said]


def compile_model(model: FERModel, compile: Any, batch_size: int, faces: float = 0) -> bool:
    """Compile the repeated blocks of a model's network, in place, for batches of one size.

    Batches of more than half that size are padded with copies of their last face, so that one graph per block suffices;
    smaller batches use the uncompiled network. If nothing can be compiled, the model is unchanged, with a warning if
    compilation failed.

    Args:
        model: on its device, with its precision set.
        compile: True, False, or ``"auto"``: on a GPU, if the forward passes take an estimated two minutes or more.
        batch_size: number of faces in a full batch.
        faces: expected number of forward passes of one face, for ``"auto"``.

    Returns:
        Whether it is compiled.

    Raises:
        UserError: for any other value of ``compile``.
    """
    wanted = check_compile(compile)
    if wanted is False or (wanted == "auto" and not _pays(model, faces)):
        return False
    from mfer_lightning.callbacks.compilation import use_lasting_cache  # imports Lightning
    from mfer_lightning.nn.regions import compile_blocks, count_kinds  # imports timm

    def warn(error: Exception) -> None:
        print(f"Warning: {NO_COMPILER}: {short_reason(error)}", file=sys.stderr, flush=True)

    use_lasting_cache()
    try:
        try_compiler(model.device, backward=False)
    except Exception as error:  # compilers, drivers and file systems raise many types
        if received():
            raise
        warn(error)
        return False
    blocks = compile_blocks(model.network)
    if not blocks:
        return False
    guard_calls(blocks, lambda *given, **_: bool(given) and _full(given[0], batch_size), warn)
    model.full_batch = batch_size
    print(
        f"Compiling {counted(count_kinds(blocks), 'kind of block', 'kinds of blocks')} at the first batch takes about "
        f"{max(1, count_kinds(blocks) * SECONDS_A_KIND // 3)} s, once; later calls reuse the results in "
        f"{os.environ['TORCHINDUCTOR_CACHE_DIR']}.",
        flush=True,
    )
    return True


def _full(given: object, batch_size: int) -> bool:
    return isinstance(given, Tensor) and given.ndim > 0 and len(given) == batch_size


def _pays(model: FERModel, faces: float) -> bool:
    if model.device.type != "cuda" or not faces:
        return False
    size = int(model.preprocess.size or 224)
    return bool(2 * count_gflops(model.network, size) * faces / GPU_RATE >= PAYS_FROM)
