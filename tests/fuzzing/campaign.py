"""Run a campaign: damage an input again and again, read it, and judge every outcome.

``MFER_FUZZ_SEED=7`` draws other damages, ``MFER_FUZZ_EXAMPLES=20000`` more of them. A failure is made as small as
Hypothesis can, its damaged input is kept in ``.hypothesis/inputs``, and the slow campaign begins with it next time.
``MFER_FUZZ_LIST=1`` does not stop at the first failure, and lists all that differ.
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

#: Both lengths of a campaign, for ``@COUNTS``.
COUNTS = pytest.mark.parametrize("count", [QUICK, pytest.param(SLOW, marks=pytest.mark.slow)])

_KEPT = Path(__file__).resolve().parents[2] / ".hypothesis"
_LEAST = 1  # refusals of a campaign: damage that is never seen is none


def _fine(_: Any) -> str:
    return ""


@dataclass(frozen=True)
class Kind:
    """One kind of input from outside.

    Args:
        source: the whole file or folder, which stays as it is.
        damage: damages a copy of it.
        read: reads the copy through the package; refuses by a ``UserError``.
        check: what is wrong with an answer, in words; ``""``: nothing.
        planted: ``module:name`` of a function that the reading calls, in which tests plant faults.
        spoil: changes an answer of that function, so that ``check`` must complain; None: it checks no numbers.
        output: name of a folder beside the copy that the reading may write to.
        refuses: whether damage is refused, and not left out of an answer.
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
    """What a campaign found.

    Args:
        outcomes: ``"answer"``, ``"refused"`` and ``"failure"`` -> number of examples.
        failures: words of each failure that was found -> its damaged input.
        sentences: some of the refusals.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: dict[str, Path] = field(default_factory=dict)
    sentences: set[str] = field(default_factory=set)


def attempt(kind: Kind, folder: Path, damage: Callable[[Path], None], limits: Limits = USUAL) -> Outcome:
    """Damage a fresh copy in a folder, read it, and judge what became of it."""
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
        count: how many damages.
        limits: what a reading may take.
        every: go on after a failure, and return all of them.

    Returns:
        What was found.

    Raises:
        AssertionError: for the first failure, unless ``every``, or where the whole input is not read, or no damage
            was ever seen.
    """
    tally, listed = Tally(), bool(os.environ.get("MFER_FUZZ_LIST")) and not every
    every = every or listed
    if not every or listed:
        whole = attempt(kind, folder, lambda _: None, Limits(600, limits.memory))  # the first reading imports
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
    """Copy a damaged input to where a developer finds it."""
    (_KEPT / "inputs").mkdir(parents=True, exist_ok=True)
    kept = Path(tempfile.mkdtemp(dir=_KEPT / "inputs")) / target.name
    if target.exists():
        shutil.copytree(target, kept, symlinks=True) if target.is_dir() else shutil.copyfile(target, kept)
    return kept
