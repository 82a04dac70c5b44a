"""A training run on a real pseudo-terminal of 80 columns: one line per bar, epochs from 1."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import sys
import termios
from pathlib import Path

import pytest
from commands.conftest import FEW

_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_each_bar_stays_on_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mfer_lightning", *FEW, "trainer.max_epochs=12", "track_test=true"]
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(tmp_path)
        os.environ.update(COLUMNS="80", LINES="24", TERM="xterm-256color", OMP_NUM_THREADS="1")
        os.execv(sys.executable, command)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    written = b""
    while True:
        try:
            written += os.read(terminal, 65536)
        except OSError:  # the child has closed its end
            break
    _, status = os.waitpid(child, 0)
    text = written.decode()
    assert os.waitstatus_to_exitcode(status) == 0, text[-2000:]
    lines = [line for part in text.split("\n") for line in _ESCAPE.sub("", part).split("\r")]
    bars = [line for line in lines if re.match(r"Epoch \d|Validation", line)]
    assert set(re.findall(r"Epoch (\d+)/12", text)) == {str(n) for n in range(1, 13)}
    assert any("val acc" in bar and "loss" in bar for bar in bars), bars[-1]
    assert max(map(len, bars)) <= 80, max(bars, key=len)
    # Rich moves up once for each line after the first. The validation bar is the second; there must be no third.
    assert "\x1b[1A\x1b[2K\x1b[1A" not in text
    assert "poch 0" not in text
