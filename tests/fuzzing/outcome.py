"""Classify the outcome of reading a damaged input: the correct answer, one error message, or a failure."""

from __future__ import annotations

import io
import resource
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fuzzing.watch import listing, watched

from mfer_lightning.cli import main
from mfer_lightning.errors import UserError

ANSWER, REFUSED, FAILURE = "answer", "refused", "failure"

#: Limits of one reading: seconds, and bytes of memory in addition to the memory already in use.
SECONDS, BYTES = 10.0, 2 << 30
#: Bytes of address space in addition to those in use, so that a failure cannot exhaust the memory of the machine.
_SPACE = 6 << 30
#: Maximum length of an error message: it may quote a part of the input, but not all of it.
_LONGEST = 2_000


class TookTooLongError(BaseException):
    """Raised in a reading that exceeds its time limit. Not an ``Exception``, so that no handler catches it."""


@dataclass(frozen=True)
class Limits:
    """Limits of one reading.

    Args:
        seconds: maximum time, without time spent waiting for a processor.
        memory: maximum bytes in addition to the memory already in use.
    """

    seconds: float = SECONDS
    memory: int = BYTES


USUAL = Limits()


@dataclass(frozen=True)
class Outcome:
    """Outcome of one reading.

    Args:
        kind: ``"answer"``, ``"refused"`` or ``"failure"``.
        words: the error message of a rejection, or a description of the failure.
        error: the exception, if any.
    """

    kind: str
    words: str = ""
    error: BaseException | None = None


def judge(
    read: Callable[[], Any],
    check: Callable[[Any], str],
    around: Path,
    may_write: Sequence[Path] = (),
    limits: Limits = USUAL,
) -> Outcome:
    """Read an input and classify the outcome.

    Args:
        read: reads the input; raises ``UserError`` to reject it.
        check: describes what is wrong with an answer; ``""`` if nothing is.
        around: folder that contains the input. Only ``may_write`` may change in it.
        may_write: folders that ``read`` may write to.
        limits: time and memory limits.
    """
    before, started = listing(around), _clock()
    answer: Any = None
    error: BaseException | None = None
    with tempfile.TemporaryDirectory() as scratch, _temporary(scratch):
        with _memory() as grown, _space(), _alarm(limits.seconds), watched([Path(scratch), *may_write]) as seen:
            try:
                answer = read()
            except (Exception, TookTooLongError, SystemExit) as raised:  # any exception is an outcome
                error = raised
        left = sorted(f.name for f in Path(scratch).iterdir())
    took = _clock() - started
    changed = sorted(name for name, facts in listing(around).items() if before.get(name) != facts)
    outside = [name for name in changed if not any(place in Path(name).parents for place in may_write)]
    if isinstance(error, TookTooLongError) or took > limits.seconds:
        return Outcome(FAILURE, f"it took {took:.1f} seconds; the limit is {limits.seconds:g}", error)
    if grown[0] > limits.memory or (error is not None and _wanted_memory(error)):
        return Outcome(FAILURE, f"it took {grown[0] / 1e6:,.0f} MB of memory, or asked for more than there was", error)
    if seen or outside or left:
        return Outcome(FAILURE, f"it acted outside its folder: {[*seen, *outside, *left][:5]}", error)
    if isinstance(error, UserError):
        words = str(error)
        wrong = no_sentence(words)
        return Outcome(FAILURE, f"{wrong}: {words[:300]!r}", error) if wrong else Outcome(REFUSED, words, error)
    if error is not None:
        return Outcome(FAILURE, f"{type(error).__name__} at {place_of(error)}: {str(error)[:300]}", error)
    wrong = check(answer)
    return Outcome(FAILURE, wrong) if wrong else Outcome(ANSWER)


def no_sentence(words: str) -> str:
    """Return why a message should not be shown to a user, or ``""`` if it may be."""
    if not words.strip():
        return "the error message is empty"
    if "Traceback (most recent call last)" in words:
        return "the error message is a traceback"
    if len(words) > _LONGEST:
        return f"the error message has {len(words):,} characters"
    odd = {c for c in words if not c.isprintable() and c != "\n"}
    return f"the error message has {sorted(odd)!r}, which can move a terminal's cursor" if odd else ""


def place_of(error: BaseException) -> str:
    """Return the innermost line of this package in a traceback, which identifies a failure."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "mfer_lightning" in f.filename] or frames[-1:]
    return f"{Path(own[-1].filename).name}:{own[-1].name}:{own[-1].lineno}"


def command_line(*arguments: str, legal: Sequence[int] = (0,)) -> str:
    """Run a command line in this process.

    Args:
        arguments: arguments after the program name.
        legal: exit codes that count as an answer.

    Returns:
        The output.

    Raises:
        UserError: with the error message, if the exit code is 2.
        AssertionError: for any other exit code or a traceback.
    """
    out, err, code = io.StringIO(), io.StringIO(), 0
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main(arguments)
        except SystemExit as stop:
            code = int(stop.code or 0)
    said = err.getvalue()
    if odd := sorted({c for c in out.getvalue() + said if not c.isprintable() and c not in "\n\t\r"}):
        raise AssertionError(f"it printed {odd!r}, which can move a terminal's cursor")
    if "Traceback (most recent call last)" in said:
        raise AssertionError(f"a traceback was printed: {said[-600:]}")
    if code == 2 and "Error: " in said:
        raise UserError(said[said.index("Error: ") + 7 :].rstrip("\n"))
    if code not in legal:
        raise AssertionError(f"exit code {code}: {said[-600:]}")
    return out.getvalue()


def _wanted_memory(error: BaseException) -> bool:
    """Return whether an error or one of its causes is a lack of memory."""
    while error is not None:
        if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
            return True
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    return False


@contextmanager
def _temporary(folder: str) -> Iterator[None]:
    before, tempfile.tempdir = tempfile.tempdir, folder
    try:
        yield
    finally:
        tempfile.tempdir = before


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Raise in the block after a time limit, and restore the timer of pytest-timeout, which uses the same signal.

    The signal repeats every second, because exceptions raised during garbage collection are swallowed.
    """

    end = _clock() + seconds

    def ring(*_: object) -> None:
        if (rest := end - _clock()) <= 0:
            raise TookTooLongError
        signal.setitimer(signal.ITIMER_REAL, rest + 0.01, 1)

    handler, left = signal.signal(signal.SIGALRM, ring), signal.setitimer(signal.ITIMER_REAL, seconds, 1)
    try:
        yield
    except TookTooLongError:
        pass  # the signal arrived after the reading ended; the measured time is checked
    finally:
        signal.setitimer(signal.ITIMER_REAL, *left)
        signal.signal(signal.SIGALRM, handler)


@contextmanager
def _space() -> Iterator[None]:
    """Limit the address space of the process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_status("VmSize") + _SPACE, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@contextmanager
def _memory() -> Iterator[list[int]]:
    """Measure the peak growth of resident memory in bytes; the list contains it after the block."""
    with suppress(OSError):  # if not permitted, the peak since the process started is used, which is never lower
        Path("/proc/self/clear_refs").write_text("5")
    grown, start = [0], _status("VmRSS")
    try:
        yield grown
    finally:
        grown[0] = _status("VmHWM") - start


def _clock() -> float:
    """Return the time in seconds, without the time in which this thread was ready to run but waited for a processor."""
    try:
        waited = int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        waited = 0.0
    return time.perf_counter() - waited


def _status(name: str) -> int:
    """Return a size of this process in bytes, as reported by Linux."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) << 10
    raise LookupError(name)
