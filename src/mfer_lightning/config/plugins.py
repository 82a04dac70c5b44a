"""Plugins: user packages whose classes a configuration may name (``plugins=[my_lab]``).

A configuration can use the datasets, losses and augmentations of a plugin through ``_target_``. A plugin adds backbones
by registering them with timm (``timm.models.register_model``), so that ``backbone.name=my_net`` finds them.

Security: importing a plugin executes its code. Therefore, only the user can load plugins, on the command line or in
Python; modules named in a checkpoint are never imported. A checkpoint may name classes of a plugin that the user has
loaded, but only those defined in the plugin itself: no functions, and nothing that the plugin imports from elsewhere.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path
from typing import Any

from mfer_lightning.errors import UserError, nearest

_loaded: list[str] = []


@contextmanager
def plugins_loaded(names: Sequence[str] = ()) -> Iterator[None]:
    """Import plugins and allow a configuration to name their classes within a block.

    Args:
        names: packages or modules, installed or importable from the working directory.

    Raises:
        UserError: if a name is not a valid package name, does not exist, or fails to import.
    """
    names = [names] if isinstance(names, str) else list(names)
    for name in names:
        _import(name)
    before = list(_loaded)
    _loaded.extend(names)
    try:
        yield
    finally:
        _loaded[:] = before


def _import(name: str) -> None:
    if not isinstance(name, str) or not all(part.isidentifier() for part in name.split(".")):
        raise UserError(f"plugins=[{name}]: give the name that Python imports, such as my_lab, not a path.")
    if is_reserved(name):
        raise UserError(
            f"plugins=[{name}]: `{name.partition('.')[0]}` belongs to Python, to mfer_lightning or to one of its "
            "libraries and cannot be a plugin. Give your own package."
        )
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)  # last, so that the user's files do not shadow libraries
    importlib.invalidate_caches()
    try:
        importlib.import_module(name)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
            raise UserError(
                f"plugins=[{name}]: there is no package `{error.name}`, neither in the working directory ({here}) nor "
                "among the installed packages."
            ) from error
        said = " ".join(str(error).split())[:300].rstrip(".")
        raise UserError(
            f"plugins=[{name}]: the import failed in {_place(error, name)}: "
            f"{type(error).__name__}{f': {said}' if said else ''}."
        ) from error


def _place(error: BaseException, name: str) -> str:
    """Return the file and line where the import of a plugin failed: its innermost frame in the plugin, if any."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}"
    folder = f"/{name.partition('.')[0]}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if folder in f.filename.replace(chr(92), "/").removesuffix(".py")] or frames[-1:]
    return f"{own[-1].filename}, line {own[-1].lineno}"


@cache
def _libraries() -> frozenset[str]:
    """Return the modules of this package's dependencies, including optional ones."""
    try:
        required = requires("mfer_lightning") or []
    except PackageNotFoundError:  # run from a checkout without installation
        required = []
    needed = {re.split(r"[^\w.-]", line, maxsplit=1)[0].lower().replace("_", "-") for line in required}
    providers = packages_distributions().items()
    return frozenset(m for m, names in providers if needed & {n.lower().replace("_", "-") for n in names})


def is_reserved(name: str) -> bool:
    """Whether a module belongs to Python, this package or one of its dependencies, and cannot be a plugin."""
    top = name.partition(".")[0]
    return top in sys.stdlib_module_names or top in ("mfer_lightning", "__main__") or top in _libraries()


def in_plugin(module: str) -> bool:
    """Whether a module is a loaded plugin, or part of one."""
    return any(f"{module}.".startswith(f"{name}.") for name in _loaded)


def find_in_plugin(target: str, where: str) -> Any:
    """Return the plugin class named by a ``_target_``.

    Functions are rejected: otherwise, a checkpoint could call any helper of the plugin with arguments of its choice.

    Args:
        target: dotted name in a module for which :func:`in_plugin` is true.
        where: source of the target, for error messages.

    Raises:
        UserError: if the plugin does not define it.
    """
    module_name, _, name = target.rpartition(".")
    module = sys.modules.get(module_name)
    if module is None:  # not imported on demand, because the name may come from a checkpoint
        raise UserError(
            f"{where} names `{target}`, but the plugin has not imported {module_name}: check the name, or import the "
            "module in the plugin."
        )
    package = module_name.partition(".")[0]
    own = [
        key
        for key, value in vars(module).items()
        if inspect.isclass(value) and not key.startswith("_") and value.__module__.partition(".")[0] == package
    ]
    if name not in own:
        raise UserError(
            f"{where} names `{target}`, but {module_name} does not define such a class: {nearest(name, own)}"
        )
    return getattr(module, name)


def missing_plugins(config: Any) -> str:
    """Return a sentence that lists the plugins of a stored configuration that are not loaded; empty if there are none.

    Args:
        config: configuration of a checkpoint, of any shape.
    """
    stored = config.get("plugins") if isinstance(config, Mapping) else None
    names = [n for n in stored if isinstance(n, str)] if isinstance(stored, (list, tuple)) else []
    absent = [n for n in names if not in_plugin(n) and all(part.isidentifier() for part in n.split("."))]
    return f" It was trained with plugins=[{','.join(absent)}]: add the same option." if absent else ""
