"""SIGTERM ends a process with one line and exit code 143, whatever else fails at the same time."""

from __future__ import annotations

import os
import signal
import sys
import threading

import pytest

from mfer_lightning.termination import TERMINATED, one_line_on_sigterm, received

LINE = "Stopped by SIGTERM. The same command continues an unfinished run.\n"


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_block_ends_with_one_line_and_restores_the_handlers(capsys: pytest.CaptureFixture) -> None:
    def state() -> tuple[object, ...]:
        handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGCHLD)]
        return (*handlers, threading.excepthook, sys.unraisablehook, received())

    before = state()
    with pytest.raises(SystemExit) as stop, one_line_on_sigterm(), one_line_on_sigterm():
        terminate()
    assert stop.value.code == TERMINATED == 143
    assert capsys.readouterr().err == LINE
    assert state() == before


def test_errors_after_the_signal_are_suppressed(capsys: pytest.CaptureFixture) -> None:
    def block() -> None:
        try:
            terminate()
        finally:
            thread = threading.Thread(target=lambda: 1 / 0)
            thread.start()
            thread.join()
            raise RuntimeError("DataLoader worker (pid 1) is killed by signal: Terminated.")

    with pytest.raises(SystemExit) as stop, one_line_on_sigterm():
        block()
    assert stop.value.code == 143
    assert capsys.readouterr().err == LINE


def test_errors_and_exits_without_the_signal_are_unchanged(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(RuntimeError), one_line_on_sigterm():
        raise RuntimeError("a defect")
    with pytest.raises(SystemExit) as stop, one_line_on_sigterm():
        raise SystemExit(3)
    assert stop.value.code == 3
    assert capsys.readouterr().err == ""


def test_other_ranks_print_nothing(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(SystemExit), one_line_on_sigterm():
        terminate()
    assert capsys.readouterr().err == ""


def test_handler_is_not_installed_in_a_thread() -> None:
    def block() -> None:
        with one_line_on_sigterm():
            pass

    thread = threading.Thread(target=block)
    thread.start()
    thread.join()
