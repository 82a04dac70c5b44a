"""A finding of ``mfer data``, for people and programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: Severity: ``info`` (no action needed), ``warning`` (usable with care), ``error`` (unusable).
Severity = Literal["info", "warning", "error"]
EXIT_CODES: dict[str, int] = {"info": 0, "warning": 1, "error": 2}


@dataclass(frozen=True)
class Finding:
    """A finding about a dataset.

    Args:
        code: stable name, e.g. ``"duplicates-within"``.
        severity: one of :data:`Severity`.
        message: the problem and where it occurs, in one sentence.
        advice: what to do; empty if nothing is needed.
        examples: names of a few affected faces.
    """

    code: str
    severity: Severity
    message: str
    advice: str = ""
    examples: tuple[str, ...] = ()
