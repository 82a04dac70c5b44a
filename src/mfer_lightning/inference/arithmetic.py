"""Choose the precision in which a loaded model predicts. Precisions have the names used by Lightning."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from mfer_lightning.config.precision import PRECISIONS as SHORT
from mfer_lightning.errors import UserError, nearest
from mfer_lightning.inference.model import FERModel

#: Precision -> data type of matrix products and convolutions.
TYPES = {"32-true": torch.float32, "bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}

#: Other names of these precisions: Lightning's short names and torch's names of data types.
SPELLINGS = {**SHORT, "float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}

#: Precisions of Lightning that are not supported here.
_OTHERS = ("16-true", "bf16-true", "64", "64-true", "transformer-engine", "transformer-engine-float16")


def check_precision(precision: Any) -> str:
    """Normalise the name of a precision.

    Args:
        precision: ``"auto"``, a name of :data:`TYPES` or one of :data:`SPELLINGS`.

    Returns:
        ``"auto"`` or a name of :data:`TYPES`.

    Raises:
        UserError: for any other value.

    Example:
        >>> check_precision("bfloat16"), check_precision(32), check_precision("auto")
        ('bf16-mixed', '32-true', 'auto')
    """
    said = str(precision)
    name = SPELLINGS.get(said, said)
    if name in ("auto", *TYPES):
        return name
    if name in _OTHERS:
        raise UserError(
            f"precision={precision}: norms, softmax and sums are always computed in float32 here. Use 32-true, "
            "bf16-mixed, 16-mixed or auto."
        )
    raise UserError(f"precision={precision}: {nearest(said, ('auto', *TYPES, 'float32', 'bfloat16', 'float16'))}")


def choose_precision(precision: Any, device: torch.device) -> str:
    """Choose the precision for a device.

    Args:
        precision: as for :func:`check_precision`. ``"auto"`` is ``"bf16-mixed"`` on a GPU with native
            bfloat16, and ``"32-true"`` elsewhere.
        device: device of the model.

    Returns:
        A name of :data:`TYPES`.

    Raises:
        UserError: if the precision is unknown, or the device does not support it.
    """
    name = check_precision(precision)
    if name == "auto":
        native = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return "bf16-mixed" if native else "32-true"
    if name == "16-mixed" and device.type == "cpu":
        raise UserError(f"precision={precision} needs a GPU. On the CPU, use bf16-mixed, 32-true or auto.")
    return name


def set_precision(model: FERModel, precision: str) -> FERModel:
    """Set the precision in which a model predicts, in place. Its outputs stay float32.

    Under ``"bf16-mixed"`` and ``"16-mixed"``, the weights of linear layers and convolutions are converted once;
    autocast would convert them in each batch, with the same result. Norms, softmax and sums stay in float32. The
    converted weights need half the memory. To return to float32, load the model again.

    Args:
        model: as :func:`~mfer_lightning.inference.model.read_model` returns it.
        precision: a name of :data:`TYPES`.

    Returns:
        The same model.

    Raises:
        UserError: if the weights were already converted to another type.
    """
    if precision == model.precision:
        return model
    if model.precision != "32-true":
        raise UserError(
            f"precision={precision}: the model was loaded with precision={model.precision}, which has rounded its "
            "weights. Load it again."
        )
    dtype = TYPES[precision]
    for layer in model.network.modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            layer.to(dtype)
    network = model.network
    plain = network.forward

    def forward(*arguments: Any, **options: Any) -> Any:
        with torch.autocast(next(network.parameters()).device.type, dtype):
            return plain(*arguments, **options)

    network.forward = forward  # type: ignore[method-assign]
    model.precision = precision
    return model
