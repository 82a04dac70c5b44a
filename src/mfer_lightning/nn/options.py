"""Complete and check the options of a network part: ``"ds"`` or ``{"name": "ds", "kernel_size": 5}``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mfer_lightning.errors import UserError, nearest

#: Specification of a network part given by a user: a name, or a mapping with ``name`` and options.
Spec = str | Mapping[str, Any]


def plain(value: Any) -> Any:
    """Copy a value into plain containers: mappings become dicts, tuples and other sequences become lists.

    Args:
        value: nested mappings and sequences of str, int, float, bool and None.

    Returns:
        The same content, usable in JSON and in checkpoints that load with ``weights_only=True``.

    Raises:
        UserError: for a value of any other type.

    Example:
        >>> plain({"depths": (2, 2), "act_layer": "gelu"})
        {'depths': [2, 2], 'act_layer': 'gelu'}
    """
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    # not only list and tuple: a composed configuration contains ListConfig
    if hasattr(value, "__iter__") and hasattr(value, "__len__") and not isinstance(value, (bytes, set)):
        return [plain(item) for item in value]
    raise UserError(
        f"An option of the network is {value!r} ({type(value).__name__}). "
        "Options must be text, numbers, true/false, null, lists or mappings, since they are stored in checkpoints."
    )


def resolve(kind: str, spec: Spec, choices: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Complete the specification of a part with its defaults.

    Args:
        kind: the kind of part, for error messages, e.g. ``"attention"``.
        spec: a name, or a mapping with ``name`` and options.
        choices: name -> its options with their defaults.

    Returns:
        A plain dict: ``name`` and every option of that name.

    Raises:
        UserError: for an unknown name or option; the message suggests the nearest legal ones.

    Example:
        >>> resolve("head", {"name": "multiscale", "scales": 2}, {"multiscale": {"groups": 4, "scales": 3}})
        {'name': 'multiscale', 'groups': 4, 'scales': 2}
    """
    name, given = split(kind, spec)
    if name not in choices:
        raise UserError(f"Unknown {kind} '{name}': {nearest(name, choices)}")
    legal = choices[name]
    check_options(kind, name, given, legal)
    return {"name": name, **plain(legal), **given}


def split(kind: str, spec: Spec) -> tuple[str, dict[str, Any]]:
    """Split a specification into its name and its plain options.

    Raises:
        UserError: if it is neither a name nor a mapping with a name.

    Example:
        >>> split("head", "linear")
        ('linear', {})
    """
    if isinstance(spec, str):
        return spec, {}
    if not isinstance(spec, Mapping) or not isinstance(spec.get("name"), str):
        raise UserError(f"The {kind} must be a name, or a mapping with `name` and options, not {spec!r}.")
    options: dict[str, Any] = plain(spec)
    return options.pop("name"), options


def check_options(kind: str, name: str, given: Mapping[str, Any], legal: Mapping[str, Any]) -> None:
    """Reject options that a choice does not have.

    Raises:
        UserError: with the first unknown option and the nearest legal ones.
    """
    for option in given:
        if option not in legal:
            hint = nearest(option, legal) if legal else "it has no options."
            raise UserError(f"The {kind} '{name}' has no option '{option}': {hint}")
