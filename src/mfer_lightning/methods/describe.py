"""Describe a method by its class and arguments, so that a checkpoint records how its network was trained."""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn

from mfer_lightning.losses.describe import describe_by_attributes
from mfer_lightning.methods.base import Method

#: Package whose classes a configuration may name.
_HOME = __name__.rpartition(".")[0]


def describe_method(method: Method) -> dict[str, Any] | None:
    """Return ``_target_`` and the arguments of a method, read from its attributes of the same names.

    Networks are left out, because a second network is rebuilt like the first, and teachers are needed only in training.

    Returns:
        A dict; None if an argument has no attribute of its name, or a value that is neither plain nor a network.

    Example:
        >>> from mfer_lightning.methods import SCN
        >>> describe_method(SCN(feature_dim=8, num_faces=100))["_target_"]
        'mfer_lightning.methods.SCN'
    """
    parameters = inspect.signature(type(method).__init__).parameters
    # teachers are excluded by name, because _is_network does not recognise an empty tuple of teachers
    names = [name for name in parameters if name not in ("self", "args", "kwargs", "teachers")]
    names = [name for name in names if not _is_network(getattr(method, name, None))]
    return describe_by_attributes(method, names, _HOME)


def _is_network(value: object) -> bool:
    return isinstance(value, nn.Module) or (
        isinstance(value, (tuple, list)) and bool(value) and all(isinstance(part, nn.Module) for part in value)
    )
