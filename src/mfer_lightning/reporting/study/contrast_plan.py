"""Read and check the file of planned contrasts, before any result is read."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

import yaml

from mfer_lightning.errors import UserError, nearest, printable
from mfer_lightning.evaluation.statistics.methods import MethodMetric
from mfer_lightning.reporting.study.axes import in_words

Claim = Literal["better", "worse", "none"]
#: Axis or option -> value, formatted by :func:`.axes.in_words`.
Selector = Mapping[str, str]


@dataclass(frozen=True)
class Contrast:
    """One planned comparison.

    Args:
        name: name of the contrast.
        method: values that identify the method.
        against: values that identify the method to compare with.
        claim: the claim about ``method``, made beforehand: better or worse than ``against``, or no difference ("none");
            None if nothing was claimed.
        family: name of a group of contrasts that are corrected together; None: the unnamed family.
    """

    name: str
    method: Selector
    against: Selector
    claim: Claim | None = None
    family: str | None = None


@dataclass(frozen=True)
class Chain:
    """A claim that holds if the claims of all its contrasts hold, e.g. ``DSF > LGM > none``.

    Args:
        name: name of the chain.
        contrasts: names of contrasts that claim a difference.
    """

    name: str
    contrasts: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """The content of a file of planned contrasts.

    Args:
        path: the file.
        sha256: SHA-256 of the file in hexadecimal, computed with Unix line endings, so that it stays the same if a
            checkout converts line endings.
        contrasts: at least one.
        chains: claims that combine contrasts.
        metric: the compared metric, or None if the file does not specify it.
        protocol: protocol of the test faces, e.g. ``"ferplus@dev"``, or None if the file does not specify it.
    """

    path: Path
    sha256: str
    contrasts: tuple[Contrast, ...]
    chains: tuple[Chain, ...] = ()
    metric: MethodMetric | None = None
    protocol: str | None = None

    @property
    def families(self) -> dict[str | None, int]:
        """Number of contrasts of each family, in the order of the file."""
        return dict(Counter(contrast.family for contrast in self.contrasts))


def read_plan(path: str | Path) -> Plan:
    """Read a file of planned contrasts (docs/report.md).

    Args:
        path: a YAML file; nothing in it is executed.

    Raises:
        UserError: if it cannot be read, or is not a valid plan; the message names the place.
    """
    file = Path(path).expanduser()
    where = printable(str(path)) or "contrasts="
    try:
        content = file.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"{where}: cannot be read ({reason}). Use contrasts=<a YAML file of contrasts>.") from error
    optional = ("family", "families", "metric", "protocol", "chains")
    found = _fields(_parsed(content, where), where, ("contrasts",), optional)
    metric = found.get("metric")
    if metric is not None and metric not in get_args(MethodMetric):
        raise UserError(f"{where}: metric={_said(metric)}: {nearest(_said(metric), get_args(MethodMetric))}")
    family, protocol = (
        None if found.get(key) is None else _text(found[key], f"{where}: `{key}`") for key in ("family", "protocol")
    )
    entries = _list(found["contrasts"], f"{where}: `contrasts`", "contrast")
    contrasts = tuple(_contrast(entry, f"{where}: contrast {i}", family) for i, entry in enumerate(entries, 1))
    _unique([contrast.name for contrast in contrasts], f"{where}: `contrasts`", "two contrasts are called")
    if found.get("families") is not None:
        _check_families(_list(found["families"], f"{where}: `families`", "name"), contrasts, where)
    chains: tuple[Chain, ...] = ()
    if found.get("chains") is not None:
        entries = _list(found["chains"], f"{where}: `chains`", "chain")
        chains = tuple(_chain(entry, f"{where}: chain {i}", contrasts) for i, entry in enumerate(entries, 1))
        _unique([chain.name for chain in chains], f"{where}: `chains`", "two chains are called")
    return Plan(
        path=file,
        sha256=hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest(),
        contrasts=contrasts,
        chains=chains,
        metric=cast(MethodMetric | None, metric),
        protocol=protocol,
    )


class _Loader(yaml.SafeLoader):
    """A safe loader that also rejects duplicate keys; PyYAML's loader silently keeps only the last value."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(None, None, f"`{twice}` occurs twice", node.start_mark)
        return super().construct_mapping(node, deep)


def _parsed(content: bytes, where: str) -> Any:
    try:
        return yaml.load(content, Loader=_Loader)  # noqa: S506 - a safe loader
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f"line {error.problem_mark.line + 1}: "
        words = error.problem or error.context or "it cannot be parsed"
        raise UserError(f"{where}: is not a YAML file ({printable(f'{line}{words}')}).") from error
    # not text, an impossible date, lists that are nested too deeply
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        words = " ".join(str(error).split())
        raise UserError(f"{where}: is not a YAML file ({printable(words)[:120]}).") from error


def _contrast(entry: Any, where: str, family: str | None) -> Contrast:
    found = _fields(entry, where, ("name", "method", "against"), ("claim", "family"))
    name = _text(found["name"], f"{where}: `name`")
    where = f"{where} '{name}'"
    method, against = (_selector(found[side], f"{where}: `{side}`") for side in ("method", "against"))
    if method == against:
        raise UserError(f"{where}: compares a method with itself, {told(method)}.")
    claim = found.get("claim")
    if claim is not None and claim not in get_args(Claim):
        raise UserError(f"{where}: claim={_said(claim)}: {nearest(_said(claim), get_args(Claim))}")
    if found.get("family") is not None:
        family = _text(found["family"], f"{where}: `family`")
    return Contrast(name, method, against, cast(Claim | None, claim), family)


def _check_families(entries: Sequence[Any], contrasts: Sequence[Contrast], where: str) -> None:
    """Check that every contrast belongs to a declared family; a misspelt one would be a family of its own."""
    names = [_text(entry, f"{where}: each name in `families`") for entry in entries]
    _unique(names, f"{where}: `families`", "duplicate name")
    for contrast in contrasts:
        if contrast.family is None:
            raise UserError(
                f"{where}: contrast '{contrast.name}' has no `family`, but the file declares `families`. "
                f"Set it to one of: {', '.join(names)}."
            )
        if contrast.family not in names:
            raise UserError(
                f"{where}: contrast '{contrast.name}': family={contrast.family}: {nearest(contrast.family, names)}"
            )
    for name in names:
        if all(contrast.family != name for contrast in contrasts):
            raise UserError(
                f"{where}: `families`: no contrast belongs to '{name}'. Remove it, or correct the contrasts."
            )


def _chain(entry: Any, where: str, contrasts: Sequence[Contrast]) -> Chain:
    found = _fields(entry, where, ("name", "contrasts"), ())
    name = _text(found["name"], f"{where}: `name`")
    where = f"{where} '{name}'"
    names = [
        _text(part, f"{where}: `contrasts`") for part in _list(found["contrasts"], f"{where}: `contrasts`", "name")
    ]
    _unique(names, where, "duplicate contrast")
    claims = {contrast.name: contrast.claim for contrast in contrasts}
    for part in names:
        if part not in claims:
            raise UserError(f"{where}: there is no contrast '{part}': {nearest(part, claims)}")
        if claims[part] not in ("better", "worse"):
            raise UserError(
                f"{where}: contrast '{part}' needs a claim that can be confirmed: `claim: better` or `claim: worse`."
            )
    return Chain(name, tuple(names))


def _fields(found: Any, where: str, needed: Sequence[str], optional: Sequence[str]) -> Mapping[str, Any]:
    """Check that something is a mapping with all the needed keys and no unknown keys."""
    legal = [*needed, *optional]
    if not isinstance(found, Mapping):
        raise UserError(f"{where}: is not a mapping. Required keys: {', '.join(needed)}; see docs/report.md.")
    for key in found:
        if key not in legal:
            raise UserError(f"{where}: unknown key `{_said(key)}`: {nearest(_said(key), legal)}")
    for key in needed:
        if found.get(key) is None:
            raise UserError(f"{where}: has no `{key}`. Required keys: {', '.join(needed)}; see docs/report.md.")
    return found


def _list(found: Any, where: str, what: str) -> Sequence[Any]:
    if not isinstance(found, list) or not found:
        raise UserError(f"{where} must be a list of at least one {what}, but is {_said(found)}.")
    return found


def _text(found: Any, where: str) -> str:
    words = printable(" ".join(found.split())) if isinstance(found, str) else ""
    if not words:
        raise UserError(f"{where} must be text, but is {_said(found)}; put numbers and dates in quotes.")
    return words


def _selector(found: Any, where: str) -> Selector:
    if not isinstance(found, Mapping) or not found:
        raise UserError(f"{where} must contain the values that identify a method, e.g. {{attention: ds, loss: ce}}.")
    plain = (str, int, float, bool, type(None))
    for key, value in found.items():
        values = value if isinstance(value, list) else [value]
        if not isinstance(key, str) or not all(isinstance(part, plain) for part in values):
            raise UserError(f"{where}: {_said(key)} must be an option with one value, but is {_said(value)}.")
    return {printable(" ".join(key.split())): printable(in_words(value)) for key, value in found.items()}


def _unique(names: Sequence[str], where: str, words: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{where}: {words} '{name}'.")


def _said(value: Any) -> str:
    """Format a value of the file for a message: short text, or only the type of a list or mapping."""
    if isinstance(value, (list, Mapping)):
        return f"a {'list' if isinstance(value, list) else 'mapping'}" if value else "empty"
    return "empty" if value is None else printable(in_words(value))[:60]


def told(selector: Selector) -> str:
    """Format a selector as ``key=value``, separated by commas.

    Example:
        >>> told({"attention": "ds", "loss": "ce"})
        'attention=ds, loss=ce'
    """
    return ", ".join(f"{key}={value}" for key, value in selector.items())
