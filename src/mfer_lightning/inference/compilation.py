"""Compile a loaded model for batches of one size, where there is enough to predict."""

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
from mfer_lightning.nn.regions import compile_blocks, count_kinds
from mfer_lightning.termination import received

#: ``auto`` compiles from here on: seconds of forward passes, by a rough count. Forward passes compile in about a third
#: of the time of a training step, and gain about as much.
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
    """Compile the blocks that a model's network repeats, in place, for batches of one size.

    Batches of more than half that size are filled up with copies of their last face, so that one graph a block does;
    smaller ones take the uncompiled network. Where nothing can be compiled, a warning, and the model stays as it was.

    Args:
        model: on its device, with its precision set.
        compile: True, False, or ``"auto"``: on a GPU, where the forward passes take two minutes or more by a rough
            count.
        batch_size: faces of a full batch.
        faces: forward passes of one face that are expected; for ``"auto"``.

    Returns:
        Whether it is compiled now.

    Raises:
        UserError: for another value of ``compile``.
    """
    wanted = check_compile(compile)
    if wanted is False or (wanted == "auto" and not _pays(model, faces)):
        return False
    from mfer_lightning.callbacks.compilation import use_lasting_cache  # brings Lightning

    def warn(error: Exception) -> None:
        print(f"Warning: {NO_COMPILER}: {short_reason(error)}", file=sys.stderr, flush=True)

    use_lasting_cache()
    try:
        try_compiler(model.device, backward=False)
    except Exception as error:  # whatever compilers, drivers and file systems raise
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
        f"Compiling {count_kinds(blocks)} kinds of blocks at the first batch: about "
        f"{max(1, count_kinds(blocks) * SECONDS_A_KIND // 3)} s, once; later calls find the results in "
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
