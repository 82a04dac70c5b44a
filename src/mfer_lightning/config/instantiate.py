"""Build the objects that a configuration names with ``_target_``. No other module does this.

Configurations come from the command line, files and checkpoints, so they must not be able to name arbitrary code: a
target must be public in a package in :data:`ALLOWED`, a class of a library that the caller allows (:data:`LIBRARIES`,
and Optuna's samplers and pruners for a search), or a class of a plugin given by the user
(:mod:`mfer_lightning.config.plugins`).
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

from mfer_lightning.config.former_names import current
from mfer_lightning.config.plugins import find_in_plugin, in_plugin, is_reserved
from mfer_lightning.errors import UserError, nearest

#: Modules whose public classes and functions any configuration may name, even one stored in a checkpoint.
ALLOWED = (
    "mfer_lightning.data.datasets",
    "mfer_lightning.losses",
    "mfer_lightning.methods",
    "mfer_lightning.nn",
    "mfer_lightning.optim",
)

#: Configuration node -> additional modules whose public classes it may name. Such a node is built only from the user's
#: configuration, never from that of a checkpoint, so that a file cannot create callbacks, loggers or transforms.
LIBRARIES: Mapping[str, tuple[str, ...]] = {
    "augment": ("mfer_lightning.data.augment", "albumentations"),
    "callbacks": ("mfer_lightning.callbacks", "lightning.pytorch.callbacks"),
    "logger": ("lightning.pytorch.loggers",),
    "metrics": ("torchmetrics", "torchmetrics.classification"),
}


def locate(target: str, where: str = "the configuration", libraries: Sequence[str] = ()) -> Any:
    """Return the object that a ``_target_`` names, if it is allowed.

    Args:
        target: dotted name, e.g. ``"mfer_lightning.losses.DSFLoss"``.
        where: source of the target, for error messages.
        libraries: additional modules whose public classes (but not functions) may be named, e.g. an entry of
            :data:`LIBRARIES`.

    Returns:
        The class or function.

    Raises:
        UserError: if it is not allowed, or does not exist.

    Example:
        >>> locate("os.system")
        Traceback (most recent call last):
        ...
        mfer_lightning.errors.UserError: the configuration names `os.system`, ...
    """
    module_name, _, name = current(target).rpartition(".")
    if in_plugin(module_name):
        return find_in_plugin(target, where)
    if module_name in libraries:
        return _public_class(module_name, name, where)
    check_allowed(target, where, libraries)
    module = importlib.import_module(module_name)
    public = list(getattr(module, "__all__", ()))
    if name not in public:
        raise UserError(f"{where} names `{target}`, which does not exist: {nearest(name, public)}")
    return getattr(module, name)


def check_allowed(target: str, where: str = "the configuration", libraries: Sequence[str] = ()) -> None:
    """Reject a ``_target_`` that is not allowed, judged by its name, without importing it.

    Args:
        target: dotted name.
        where: source of the target, for error messages.
        libraries: further modules that may be named.

    Raises:
        UserError: if it is not allowed, or a loaded plugin does not define it.
    """
    module_name, _, name = current(target).rpartition(".")
    if in_plugin(module_name):
        find_in_plugin(target, where)
    elif module_name not in (*ALLOWED, *libraries) or name.startswith("_"):
        if module_name and not is_reserved(module_name):
            raise UserError(
                f"{where} names `{target}`, which is not allowed: `{module_name.partition('.')[0]}` is not a loaded "
                f"plugin. If it is your own package, give plugins=[{module_name.partition('.')[0]}]."
            )
        legal = ", ".join((*ALLOWED, *libraries))
        raise UserError(
            f"{where} names `{target}`, which is not allowed: only names directly in {legal} can be built from a "
            "configuration. Use your class from Python instead, or give its package as a plugin, plugins=[...]."
        )


def _public_class(module_name: str, name: str, where: str) -> type:
    """Return a class exported by a module of a library."""
    module = importlib.import_module(module_name)
    exported = getattr(module, "__all__", None) or dir(module)
    classes = [n for n in exported if not n.startswith("_") and inspect.isclass(getattr(module, n, None))]
    if name not in classes:
        raise UserError(
            f"{where} names `{module_name}.{name}`, but {module_name} has no such public class: "
            f"{nearest(name, classes)}"
        )
    found: type = getattr(module, name)
    return found


def instantiate(
    node: Mapping[str, Any],
    *,
    where: str = "the configuration",
    base: type | tuple[type, ...] | None = None,
    libraries: Sequence[str] = (),
    elsewhere: Mapping[str, str] = MappingProxyType({}),
    construct: Callable[[Any, Mapping[str, Any]], Any] | None = None,
    **available: Any,
) -> Any:
    """Build the object described by a configuration node.

    Args:
        node: plain mapping with ``_target_`` and keyword arguments; nested nodes with ``_target_`` are built first.
        where: name of the node in error messages, e.g. ``"loss.feature"``.
        base: required base class of the target; None: any class or function. With ``libraries``, it also applies to
            nested nodes.
        libraries: additional modules whose public classes may be named, see :func:`locate`.
        elsewhere: argument -> option, for values in ``available`` that are options of other nodes.
        construct: function that calls a target with its checked arguments; None: ``target(**arguments)``. With
            ``libraries``, it is also used for nested nodes.
        available: values known only at run time (``num_classes``, ``feature_dim``, ``class_counts`` ...), passed on if
            they are in the target's signature and not set in the node.

    Returns:
        The object.

    Raises:
        UserError: for a target that is not allowed, an unknown or missing argument, or a value that the target rejects.
    """
    if "_target_" not in node:
        raise UserError(f"{where} has no `_target_`: it must name the class to build.")
    target = locate(str(node["_target_"]), where, libraries)
    if base is not None and not (isinstance(target, type) and issubclass(target, base)):
        bases = base if isinstance(base, tuple) else (base,)
        raise UserError(f"{where}: `{node['_target_']}` is not a {' or '.join(b.__name__ for b in bases)}.")
    further: dict[str, Any] = {"libraries": libraries, "base": base, "construct": construct} if libraries else {}
    arguments = {
        key: _build(value, f"{where}.{key}", {**available, **further})
        for key, value in node.items()
        if key not in ("_target_", "name")
    }
    parameters, open_ended = keyword_parameters(target)
    legal = list(parameters)
    if "name" in node and "name" in legal:
        arguments["name"] = node["name"]
    for key in arguments:
        if key not in legal and not open_ended:
            raise UserError(f"{where} has no option `{key}`: {nearest(key, legal)}")
    for key, value in available.items():
        if key in legal and key not in arguments:
            arguments[key] = value
    missing = [n for n in legal if parameters[n].default is inspect.Parameter.empty and n not in arguments]
    if missing:
        raise UserError(
            f"{where} lacks a value for {', '.join(f'`{m}`' for m in missing)}. Set {where}.{missing[0]}=..."
        )
    for key, value in arguments.items():
        if key in node and key in parameters:
            _check_type(f"{where}.{key}", value, parameters[key])
    with described(where, elsewhere):
        return target(**arguments) if construct is None else construct(target, arguments)


@contextmanager
def described(where: str, elsewhere: Mapping[str, str] = MappingProxyType({})) -> Iterator[None]:
    """Convert errors that a constructor raises about its arguments to user errors that name the option.

    Args:
        where: node of the configuration, e.g. ``"preprocess"``.
        elsewhere: argument -> option, for arguments that are options of other nodes.

    Raises:
        UserError: instead of ValueError and TypeError.

    Example:
        >>> with described("ema"):
        ...     raise ValueError("Expected argument `decay` to be at most 1, but got 1.5.")
        Traceback (most recent call last):
            ...
        mfer_lightning.errors.UserError: ema.decay=1.5: Expected argument `decay` to be at most 1, but got 1.5.
    """
    try:
        yield
    except (ValueError, TypeError) as error:
        found = re.match(r"Expected argument `(\w+)`.* but got ([^,;]{1,80}?)\.( |$)", str(error))
        option = where
        if found is not None:
            option = elsewhere.get(found[1], f"{where}.{found[1]}") + "=" + found[2].strip("'")
        raise UserError(f"{option}: {error}") from error


_TYPES: Mapping[str, tuple[tuple[type, ...], str]] = {
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "str": ((str,), "text"),
    "bool": ((bool,), "true or false"),
}


def _check_type(where: str, value: Any, parameter: inspect.Parameter) -> None:
    """Check a value against a simple annotation (int, float, str, bool, optionally ``| None``); ignore others."""
    words = [w.strip() for w in str(parameter.annotation).split("|")]
    if (value is None and "None" in words) or any(w not in _TYPES and w != "None" for w in words):
        return
    kinds = [_TYPES[w] for w in words if w in _TYPES]
    if not any(isinstance(value, k) and (isinstance(value, bool) <= (bool in k)) for k, _ in kinds):
        raise UserError(f"{where}={value}: the value must be {' or '.join(name for _, name in kinds)}.")


def keyword_parameters(target: Any) -> tuple[dict[str, inspect.Parameter], bool]:
    """Collect the keyword arguments of a class or function.

    A class whose constructor has ``**options`` also accepts the arguments of its base class.

    Args:
        target: class or function.

    Returns:
        Name -> parameter, and whether any other keyword is accepted.

    Example:
        >>> class Base:
        ...     def __init__(self, *, size=1): ...
        >>> class Own(Base):
        ...     def __init__(self, *, colour="red", **options): ...
        >>> list(keyword_parameters(Own)[0]), keyword_parameters(Own)[1]
        (['colour', 'size'], False)
    """
    callables = (
        [k.__dict__["__init__"] for k in target.__mro__ if "__init__" in k.__dict__]
        if isinstance(target, type)
        else [target]
    )
    found: dict[str, inspect.Parameter] = {}
    for function in callables:
        parameters = inspect.signature(function).parameters
        for name, parameter in parameters.items():
            if name != "self" and parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD):
                found.setdefault(name, parameter)
        if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            return found, False
    return found, True


def takes(node: Mapping[str, Any], argument: str, where: str = "the configuration") -> bool:
    """Whether the class that a node names accepts an argument that the node does not set.

    Raises:
        UserError: if the class is not allowed or does not exist.

    Example:
        >>> takes({"_target_": "mfer_lightning.methods.CoTeaching"}, "peer")
        True
    """
    return argument not in node and argument in keyword_parameters(locate(str(node.get("_target_", "")), where))[0]


def _build(value: Any, where: str, available: Mapping[str, Any]) -> Any:
    if isinstance(value, Mapping):
        if "_target_" in value:
            return instantiate(value, where=where, **available)
        return {key: _build(item, f"{where}.{key}", available) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_build(item, f"{where}[{i}]", available) for i, item in enumerate(value)]
    return value
