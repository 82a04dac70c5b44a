"""The command-line fixture of tests/commands."""

from __future__ import annotations

from commands.conftest import mfer as mfer
