"""Run a campaign: damage an input repeatedly, read it, and classify every outcome.

Set ``MFER_FUZZ_SEED=7`` for other damage and ``MFER_FUZZ_EXAMPLES=20000`` for more examples. A campaign stops at the
first failure, which Hypothesis shrinks; damaged inputs that fail are saved in ``.hypothesis/inputs``. A slow campaign
first repeats the failures of earlier slow campaigns. With ``MFER_FUZZ_LIST=1``, a campaign does not stop at the first
failure; it lists all distinct failures, without shrinking or repeating them.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fuzzing.mutations import Draw
from fuzzing.outcome import ANSWER, FAILURE, REFUSED, USUAL, Limits, Outcome, judge
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.database import DirectoryBasedExampleDatabase

QUICK = 20
SLOW = int(os.environ.get("MFER_FUZZ_EXAMPLES", "1000"))

#: The two lengths of a campaign, for ``@COUNTS``.
COUNTS = pytest.mark.parametrize("count", [QUICK, pytest.param(SLOW, marks=pytest.mark.slow)])

_KEPT = Path(__file__).resolve().parents[2] / ".hypothesis"
_LEAST = 1  # minimum number of rejections per campaign; without any, the damage probably has no effect


def _fine(_: Any) -> str:
    return ""


@dataclass(frozen=True)
class Kind:
    """One kind of external input.

    Args:
        source: the undamaged file or folder; it is not modified.
        damage: damages a copy of the source.
        read: reads the copy with the package; raises ``UserError`` to reject it.
        check: describes what is wrong with an answer; ``""`` if nothing is.
        planted: ``module:name`` of a function called by ``read``, in which tests plant faults.
        spoil: changes the return value of that function so that ``check`` must fail; None if numbers are not checked.
        output: name of a folder next to the copy that ``read`` may write to.
        refuses: whether damaged input is rejected as a whole, instead of left out of an answer.
    """

    source: Path
    damage: Callable[[Draw, Path], None]
    read: Callable[[Path], Any]
    check: Callable[[Any], str] = _fine
    planted: str = ""
    spoil: Callable[[Any], Any] | None = None
    output: str = "out"
    refuses: bool = True


@dataclass
class Tally:
    """Results of a campaign.

    Args:
        outcomes: ``"answer"``, ``"refused"`` and ``"failure"`` -> number of examples.
        failures: description of each failure -> its damaged input.
        sentences: some of the error messages.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: dict[str, Path] = field(default_factory=dict)
    sentences: set[str] = field(default_factory=set)


def attempt(kind: Kind, folder: Path, damage: Callable[[Path], None], limits: Limits = USUAL) -> Outcome:
    """Damage a fresh copy in a folder, read it, and classify the outcome."""
    target = folder / kind.source.name
    for name in (target.name, kind.output):
        old = folder / name
        shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink(missing_ok=True)
    (shutil.copytree if kind.source.is_dir() else shutil.copyfile)(kind.source, target)
    damage(target)
    return judge(lambda: kind.read(target), kind.check, folder, (folder / kind.output,), limits)


def survives(kind: Kind, folder: Path, count: int, limits: Limits = USUAL, *, every: bool = False) -> Tally:
    """Run a campaign over one kind of input.

    Args:
        kind: the input.
        folder: an empty folder for it.
        count: number of examples.
        limits: time and memory allowed for one reading.
        every: continue after a failure, and return all failures.

    Returns:
        The results.

    Raises:
        AssertionError: if the undamaged input cannot be read; at the first failure (with ``MFER_FUZZ_LIST=1``: after
            the last example); or, for a kind that ``refuses``, if no damaged input was rejected. Never raised with
            ``every``.
    """
    tally, listed = Tally(), bool(os.environ.get("MFER_FUZZ_LIST")) and not every
    every = every or listed
    if not every or listed:
        whole = attempt(kind, folder, lambda _: None, Limits(600, limits.memory))  # the first reading imports modules
        assert whole.kind == ANSWER, f"the input as it is: {whole}"
    slow = count > QUICK

    @seed(int(os.environ.get("MFER_FUZZ_SEED", "0")))
    @settings(
        max_examples=count,
        deadline=None,
        database=DirectoryBasedExampleDatabase(_KEPT / "examples") if slow and not every else None,
        print_blob=True,
        phases=[Phase.generate] if every else [Phase.reuse, Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def one(data: st.DataObject) -> None:
        outcome = attempt(kind, folder, lambda target: kind.damage(data.draw, target), limits)
        tally.outcomes[outcome.kind] += 1
        if outcome.kind != FAILURE:
            if len(tally.sentences) < 400:
                tally.sentences.add(outcome.words)
            return
        kept = _keep(folder / kind.source.name)
        tally.failures.setdefault(outcome.words, kept)
        if not every:
            raise AssertionError(f"{outcome.words} (the damaged input: {kept})") from outcome.error

    one()
    print(f"{kind.source.name}: {dict(tally.outcomes)}")
    assert not (listed and tally.failures), "\n".join(f"{words}: {kept}" for words, kept in tally.failures.items())
    seen = tally.outcomes[REFUSED] >= _LEAST or not kind.refuses or count < QUICK
    assert every or seen, tally.outcomes
    return tally


def _keep(target: Path) -> Path:
    """Copy a damaged input to a folder where a developer can inspect it."""
    (_KEPT / "inputs").mkdir(parents=True, exist_ok=True)
    kept = Path(tempfile.mkdtemp(dir=_KEPT / "inputs")) / target.name
    if target.exists():
        shutil.copytree(target, kept, symlinks=True) if target.is_dir() else shutil.copyfile(target, kept)
    return kept
