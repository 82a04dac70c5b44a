"""The exception for errors that a user can correct, and argument checks.

Anything raised as :class:`UserError` is printed as a single readable message without a traceback and ends the
program with exit code 2 (``HYDRA_FULL_ERROR=1`` shows the traceback). Any other exception that reaches the command line
is a bug in this package.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple, TypeVar

#: Maximum number of names listed in a message.
MOST_NAMES = 24
#: Words of 500 or more characters are cut to 200 in messages. Few paths are this long.
_LONG_WORD = re.compile(r"(\S{200})\S{300,}")


class UserError(Exception):
    r"""An error in the command line, the configuration or the data that the user can correct.

    The message states what is wrong, where, what is legal and what to do. It may quote untrusted text, such as file
    contents and names, so control and other unprintable characters are escaped, and very long words are shortened.

    Example:
        >>> print(UserError("x\x1b[2J.png is not a table"))
        x\x1b[2J.png is not a table
    """

    def __str__(self) -> str:
        lines = [printable(line) for line in super().__str__().split("\n")]
        return _LONG_WORD.sub(lambda word: f"{word[1]}...", "\n".join(lines))


class TrialPrunedError(Exception):
    """Signal that a search trial was pruned; caught and recorded by the job that runs the trial."""


class Range(NamedTuple):
    """A range of legal finite numbers.

    Attributes:
        low: the lower limit.
        high: the upper limit; infinity for no limit.
        excluded: ``"low"`` or ``"high"`` if that limit is exclusive; empty if both are inclusive.

    Example:
        >>> 0.0 in Range(0, 1), 0.0 in Range(0, excluded="low"), str(Range(0, 1))
        (True, False, 'at least 0 and at most 1')
    """

    low: float
    high: float = math.inf
    excluded: str = ""

    def __contains__(self, value: object) -> bool:
        try:
            number = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            return False
        above = number > self.low if self.excluded == "low" else number >= self.low
        below = number < self.high if self.excluded == "high" else number <= self.high
        return above and below and math.isfinite(number)  # NaN compares false with everything

    def __str__(self) -> str:
        legal = f"{'more than' if self.excluded == 'low' else 'at least'} {self.low:g}"
        if self.high == math.inf:
            return legal
        return f"{legal} and {'less than' if self.excluded == 'high' else 'at most'} {self.high:.10g}"


#: int or float; the type is preserved.
Number = TypeVar("Number", bound=float)


def check_number(name: str, value: Number, low: float, high: float = math.inf, *, excluded: str = "") -> Number:
    """Reject an argument that is not a finite number within a range.

    Args:
        name: name of the argument.
        value: its value.
        low: the lower limit.
        high: the upper limit.
        excluded: the exclusive limit, as in :class:`Range`.

    Returns:
        The number, unchanged.

    Raises:
        ValueError: if the value is out of range, not finite or not a number.

    Example:
        >>> check_number("margin", -1.0, 0.0)
        Traceback (most recent call last):
            ...
        ValueError: Expected argument `margin` to be at least 0, but got -1.0.
        >>> check_number("decay", 1.0, 0.0, 1.0, excluded="high")
        Traceback (most recent call last):
            ...
        ValueError: Expected argument `decay` to be at least 0 and less than 1, but got 1.0.
    """
    legal = Range(low, high, excluded)
    if value not in legal:
        finite = "finite and " if value in (math.inf, -math.inf) else ""
        raise ValueError(f"Expected argument `{name}` to be {finite}{legal}, but got {value!r}.")
    return value


def check_count(name: str, value: int, low: int = 1) -> int:
    """Check that an argument is an integer of at least ``low``, and return it.

    Raises:
        ValueError: if it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise ValueError(f"Expected argument `{name}` to be an integer >= {low}, but got {value!r}.")
    return value


def printable(text: str) -> str:
    r"""Escape control and unprintable characters in untrusted text, so that it is safe to print on a terminal.

    Example:
        >>> printable("a\x1b[2J.jpg")
        'a\\x1b[2J.jpg'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def excerpt(value: object, most: int = 200) -> str:
    """Return the ``repr`` of a value, cut to ``most`` characters and marked with ``...`` if it is longer.

    Example:
        >>> excerpt(["anger", "fear"]), excerpt("a" * 300, 10)
        ("['anger', 'fear']", "'aaaaaaaaa...")
    """
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}..."


#: Spreadsheets evaluate cells that start with these characters as formulas, which is unsafe for untrusted names.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def nearest(name: object, legal: Iterable[str], n: int = 3) -> str:
    """Suggest the legal names most similar to a wrong one.

    Args:
        name: the wrong name.
        legal: the legal names.
        n: maximum number of suggestions.

    Returns:
        ``"did you mean 'dsf'?"`` if a name is similar, else ``"legal: a, b, c"`` with up to :data:`MOST_NAMES` names.

    Example:
        >>> nearest("dfs", ["ce", "center", "lgm", "dsf"])
        "did you mean 'dsf'?"
        >>> nearest("zzz", ["ce", "lgm"])
        'legal: ce, lgm'
    """
    options = list(legal)
    close = difflib.get_close_matches(str(name), options, n=n, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(f"'{c}'" for c in close) + "?"
    if len(options) > MOST_NAMES:
        return f"legal: {', '.join(options[:MOST_NAMES])}, ... ({len(options):,} in all)"
    return "legal: " + ", ".join(options)


def check_choice(option: str, value: Any, legal: Collection[str]) -> None:
    """Reject a value of an option that is not one of the legal values.

    Raises:
        UserError: if it is not; the message suggests similar legal values.
    """
    if value not in legal:
        raise UserError(f"{option}={value}: {nearest(str(value), legal)}")


def check_least(option: str, value: float, least: float) -> None:
    """Reject a value of an option that is below ``least``.

    Raises:
        UserError: if it is, or if it is NaN.
    """
    if not value >= least:
        raise UserError(f"{option}={value}: the value must be at least {least}.")


def expect_choice(argument: str, value: Any, legal: Iterable[str]) -> None:
    """Reject an argument of a class or function that is not one of the legal values.

    Raises:
        ValueError: if it is not; the message lists the legal values.
    """
    names = tuple(legal)
    if value not in names:
        raise ValueError(f"Expected argument `{argument}` to be one of {names}, but got {value!r}.")


def is_plain(value: object) -> bool:
    """Whether a value consists only of strings, numbers, booleans, None, lists, tuples and dicts, as in checkpoints.

    Example:
        >>> is_plain({"depths": (2, 2), "name": None}), is_plain(len)
        (True, False)
    """
    if isinstance(value, dict):
        return all(map(is_plain, (*value, *value.values())))
    if isinstance(value, (list, tuple)):
        return all(map(is_plain, value))
    return value is None or type(value) in (str, bool, int, float)
