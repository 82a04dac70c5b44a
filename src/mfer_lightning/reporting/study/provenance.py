"""Describe the origin of results: notes of the runs, what was left out, and the commands to reproduce them."""

from __future__ import annotations

import json
import math
import os
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mfer_lightning.config.precision import configured_precision
from mfer_lightning.evaluation.runs import LeftOut
from mfer_lightning.plurals import counted
from mfer_lightning.reporting.study.runs import Run
from mfer_lightning.sweeps.records import record_files

#: Maximum number of folders with the same problem, and of hashes, to name.
MOST_NAMES = 8


@dataclass(frozen=True)
class JobFailure:
    """A job of a sweep without a result: its options, the reason, and the name of its folder."""

    overrides: str
    error: str
    run: str


@dataclass(frozen=True)
class Sweep:
    """Jobs started by one command.

    Args:
        folder: folder of the sweep, possibly shared with other commands.
        command: the command line that starts it again, or None if no single command starts exactly these jobs.
        failures: failed jobs of the last invocation; failed jobs of earlier invocations may have succeeded since.
    """

    folder: Path
    command: str | None
    failures: tuple[JobFailure, ...]


def read_sweeps(folder: Path) -> list[Sweep]:
    """Read the records of jobs in a sweep's folder: one sweep per invocation of the command, the latest last.

    Unreadable records are ignored, because they only describe how a run was started.
    """
    starts: dict[str, list[Mapping[str, Any]]] = {}
    for path in sorted(record_files(folder), key=lambda path: (path.stat().st_mtime_ns, path.name)):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            legal = isinstance(record["status"], str) and all(isinstance(o, str) for o in record["overrides"])
            token = str(record.get("token", ""))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue
        if legal:
            starts[token] = [*starts.pop(token, []), record]
    sweeps = [Sweep(folder, _command([job["overrides"] for job in jobs], folder.name), ()) for jobs in starts.values()]
    if sweeps:
        last = [job for job in list(starts.values())[-1] if job["status"] == "failed"]
        sweeps[-1] = replace(sweeps[-1], failures=tuple(map(_failure, last)))
    return sweeps


def _failure(job: Mapping[str, Any]) -> JobFailure:
    reason = " ".join(str(job.get("error") or "no reason was recorded").split())
    return JobFailure(" ".join(job["overrides"]), reason, Path(str(job.get("run_dir", ""))).name)


def _command(jobs: Sequence[Sequence[str]], name: str) -> str | None:
    """Combine the overrides of jobs into one command that runs all the jobs; None if this is not possible."""
    values: dict[str, dict[str, None]] = {}
    for job in jobs:
        for override in job:
            key, _, value = override.partition("=")  # with Hydra's + before it, which adds an option
            values.setdefault(key, {})[value] = None
    different = len({tuple(job) for job in jobs})
    if math.prod(map(len, values.values())) != different or len({len(job) for job in jobs}) != 1:
        return None
    kept = {key: seen for key, seen in values.items() if not key.startswith(("paths.", "name", "report"))}
    words = [shlex.quote(f"{key}={','.join(seen)}") for key, seen in kept.items()]
    named = [] if name.startswith("sweep-") else [f"name={shlex.quote(name)}"]
    return " ".join(["mfer", *(["-m"] if different > 1 else []), *words, *named])


def notes_of(runs: Sequence[Run]) -> list[str]:
    """Collect the notes of runs, each once, with the number of runs if it is not all of them."""
    counts: dict[str, int] = {}
    for run in runs:
        for note in dict.fromkeys(str(note) for note in run.result["notes"]):
            counts[note] = counts.get(note, 0) + 1
    total = len(runs)
    return [note if n == total else f"{note.rstrip('.')} (in {n} of {total} runs)." for note, n in counts.items()]


def made_with(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """Return the commits, versions and machines of the runs; several if they differ."""
    packages: dict[str, dict[str, None]] = {}
    for run in runs:
        for package, version in run.result["versions"].items():
            packages.setdefault(str(package), {})[str(version)] = None
    counts = Counter(arithmetic_of(run) or "not recorded" for run in runs)
    told = (name if len(counts) == 1 else f"{name} ({counted(n, 'run')})" for name, n in counts.items())
    hashes = list(dict.fromkeys(str(run.result.get("data_hash"))[:12] for run in runs if run.result.get("data_hash")))
    facts = {
        "commit of mfer_lightning": _each_once(_commit(run.result.get("git")) for run in runs),
        "versions": ", ".join(f"{package} {'|'.join(seen)}" for package, seen in packages.items()),
        "hardware": _each_once(_machine(run.result["hardware"]) for run in runs),
        "training precision": "; ".join(told),
        "data hash": _named(hashes),
        "selection": _each_once(f"{run.result['protocol']}: {run.result['selection']['rule']}" for run in runs),
    }
    return [(name, words) for name, words in facts.items() if words or name != "data hash"]


def arithmetic_of(run: Run) -> str | None:
    """Return the precision in which a run's network was trained, e.g. ``"bf16-mixed"``.

    Returns:
        For an evaluation, the precision of its checkpoint. Older runs did not record the precision in use: for them,
        the configured precision, or None if it was ``auto``.
    """
    told = run.result["hardware"] if run.trained else run.result.get("model")
    used = told.get("precision") if isinstance(told, Mapping) else None
    return used if isinstance(used, str) and used else configured_precision(run.result["config"].get("trainer"))


def unlike_arithmetic(methods: Mapping[str, Sequence[Run]]) -> str | None:
    """Warn if the compared methods were not trained in the same precision.

    ``trainer.precision=auto`` is bfloat16 on one machine and float32 on another, so a difference between methods may
    be a difference between machines. Seeds may differ from each other if all methods of a seed have the same precision.

    Args:
        methods: their names and runs.

    Returns:
        A sentence, or None if nothing is wrong or nothing is recorded.
    """
    used: dict[int, dict[str, str]] = {}
    sets: dict[frozenset[str], str] = {}
    for name, runs in methods.items():
        for run in runs:
            if (arithmetic := arithmetic_of(run)) is not None:
                used.setdefault(run.seed, {}).setdefault(arithmetic, name)
        if found := frozenset(filter(None, map(arithmetic_of, runs))):
            sets.setdefault(found, name)
    seeds = [seed for seed in sorted(used) if len(used[seed]) > 1]
    if seeds:
        examples = ", ".join(f"{name} in {arithmetic}" for arithmetic, name in used[seeds[0]].items())
        more = f"; {len(seeds)} seeds in all" if len(seeds) > 1 else ""
        examples = f"seed {seeds[0]}: {examples}{more}"
    elif len(sets) > 1:
        examples = ", ".join(f"{name} in {' and '.join(sorted(found))}" for found, name in sets.items())
    else:
        return None
    return (
        f"Not all methods were trained in the same precision ({examples}), so a difference may be due to the "
        "machines. Set trainer.precision, or train all methods of a seed on one machine."
    )


def said_once(left_out: Iterable[LeftOut]) -> list[tuple[str, str]]:
    """Group the left-out folders by reason, so that each reason is named once.

    Returns:
        Pairs (folders as text, reason), which form a sentence: ``a is ...``; ``a, b and 7 more: each is ...``.
    """
    groups: dict[str, list[str]] = {}
    for item in left_out:
        groups.setdefault(item.reason, []).append(short_path(item.folder))
    return [
        (_named(names), reason) if len(names) == 1 else (f"{_named(names)}:", f"each {reason}")
        for reason, names in groups.items()
    ]


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more


def _each_once(words: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(words))


def short_path(path: Path) -> str:
    """Format a path relative to the working directory if it is inside it, else its last two parts."""
    try:
        return os.fspath(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return os.fspath(Path(*path.parts[-2:]))


def _commit(git: Any) -> str:
    if not isinstance(git, Mapping) or not git.get("commit"):
        return "not recorded (no checkout)"
    changed = f" with changes {str(git.get('diff_sha256'))[:12]}" if git.get("dirty") else ""
    return f"{str(git['commit'])[:12]}{changed}"


def _machine(hardware: Mapping[str, Any]) -> str:
    gpus = hardware.get("gpus")
    gpus = gpus if isinstance(gpus, list) else []  # the file may be damaged
    cores = hardware.get("cores")
    number = counted(cores, "core") if isinstance(cores, int) else "number of cores unknown"
    parts = [str(hardware.get("processor", "processor unknown")), number]
    if not gpus and isinstance(hardware.get("instructions"), str):
        parts.insert(1, hardware["instructions"])
    return ", ".join([*parts, *(str(gpu) for gpu in gpus)])
