"""Import the public names and the modules of a package when they are first used (PEP 562)."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from pkgutil import iter_modules
from typing import Any


def lazy_name(package: str, name: str, homes: Mapping[str, str]) -> Any:
    """Import a public name or a module of a package, for the ``__getattr__`` of the package.

    Args:
        package: full name of the package, which must already be imported.
        name: the requested attribute.
        homes: public name -> the module that defines it, relative to the package.

    Returns:
        The object, or the module.

    Raises:
        AttributeError: if the package has no such name or module.

    Example:
        >>> lazy_name("mfer_lightning", "UserError", {"UserError": "errors"}).__name__
        'UserError'
        >>> lazy_name("mfer_lightning", "errors", {}).__name__
        'mfer_lightning.errors'
    """
    if name in homes:
        return getattr(import_module(f"{package}.{homes[name]}"), name)
    if not name.startswith("__") and any(name == found.name for found in iter_modules(sys.modules[package].__path__)):
        return import_module(f"{package}.{name}")
    raise AttributeError(f"module {package!r} has no attribute {name!r}")
