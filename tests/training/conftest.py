"""The real command line, as in tests/commands."""

from commands.conftest import few_run, mfer

__all__ = ["few_run", "mfer"]
