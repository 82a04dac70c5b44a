"""A finding, in a form for people and for programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: How bad: nothing to do, usable with care, unusable.
Severity = Literal["info", "warning", "error"]
EXIT_CODES: dict[str, int] = {"info": 0, "warning": 1, "error": 2}


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Args:
        code: stable name, e.g. ``"duplicates-across-splits"``.
        severity: info, warning (usable), error (unusable).
        message: what and where, in one sentence.
        advice: what to do; empty if nothing need be done.
        examples: names of a few faces that show it.
    """

    code: str
    severity: Severity
    message: str
    advice: str = ""
    examples: tuple[str, ...] = ()
