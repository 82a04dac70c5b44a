"""The command line, as the tests of the commands run it."""

from __future__ import annotations

from commands.conftest import mfer as mfer
