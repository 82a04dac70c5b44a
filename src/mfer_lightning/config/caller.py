"""Restore what training changes in the process of a Python caller: Hydra, environment, working directory, warnings."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton

from mfer_lightning.config.location import config_dir


@contextmanager
def own_hydra() -> Iterator[None]:
    """Run a block with a separate Hydra instance, because the caller may be a Hydra application as well."""
    instances = Singleton._instances  # like hydra.initialize; get_state returns copies
    callers: dict[type, Singleton] = {
        kind: instances.pop(kind) for kind in (GlobalHydra, HydraConfig) if kind in instances
    }
    try:
        yield
    finally:
        for kind in (GlobalHydra, HydraConfig):
            instances.pop(kind, None)
        instances.update(callers)


def given_overrides() -> tuple[str, ...]:
    """Return the overrides of the current command line; in a sweep or search, those of the current job.

    Empty if no command line is running.
    """
    return tuple(map(str, HydraConfig.get().overrides.task)) if HydraConfig.initialized() else ()


def is_given(option: str) -> bool:
    """Whether the current command line sets an option, so that its value is not a default.

    Args:
        option: dotted name.
    """
    return any(override.lstrip("+").startswith(f"{option}=") for override in given_overrides())


@contextmanager
def composing() -> Iterator[None]:
    """Make it possible to compose our configurations within a block.

    The Hydra instance of the running command is used if there is one, because it knows the folders passed with
    ``--config-dir``. Otherwise, a new one is created: an instance of the caller does not know our configuration files.
    """
    hydra = GlobalHydra.instance().hydra
    known = [] if hydra is None else hydra.config_loader.get_search_path().get_path()
    with ExitStack() as held:
        if not any(element.path.endswith(str(config_dir())) for element in known):
            held.enter_context(own_hydra())
            held.enter_context(initialize_config_dir(str(config_dir()), version_base="1.3"))
        yield


@contextmanager
def caller_undisturbed() -> Iterator[None]:
    """Restore what training changes in the process of the caller.

    This covers the state of Hydra, environment variables, the working directory, warning filters and torch's
    determinism. The random state is not restored, as with ``lightning.seed_everything``.
    """
    environment, folder = dict(os.environ), Path.cwd()
    torch = sys.modules.get("torch")
    strict, warn_only = (
        (torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled())
        if torch is not None
        else (False, False)
    )
    try:
        with own_hydra(), warnings.catch_warnings():
            yield
    finally:
        os.chdir(folder)
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)
        if "torch" in sys.modules:
            sys.modules["torch"].use_deterministic_algorithms(strict, warn_only=warn_only)
