"""The command line fixtures of tests/commands."""

from __future__ import annotations

from commands.conftest import mfer as mfer
