"""The real command line, as in tests/commands."""

from commands.conftest import mfer

__all__ = ["mfer"]
