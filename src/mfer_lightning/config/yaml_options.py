"""Read the options of a configuration file with their defaults and comments. Imports neither Hydra nor torch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

#: The loader of libyaml if PyYAML was built with it: libyaml gives the same nodes and is ten times as fast.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

#: Keys of a primary configuration file that belong to Hydra.
_HYDRAS = ("defaults", "hydra")


class Option(NamedTuple):
    """An option in a configuration file.

    Attributes:
        default: value as written, or ``[...]`` for a list over several lines; None for a mapping whose entries are
            separate options.
        comment: comment in the file, without the #; empty if there is none.
        origin: the choice that sets this default, e.g. ``"dataset=facs"``; empty if it is from the option's own file.
    """

    default: str | None
    comment: str = ""
    origin: str = ""


class ConfigFile(NamedTuple):
    """Content of a configuration file.

    Attributes:
        head: the comment at the top of the file, one line per entry.
        package: where Hydra puts the values: name of a node, empty for the top level, None for the node of the group.
        parents: files that it extends (``defaults: [ce]``).
        chosen: group -> choice in the defaults list (without ``override`` and ``optional``), with its comment.
        overridden: group -> choice that replaces the choice of another file (``override /backbone: resnet18``).
        options: dotted name -> option.
    """

    head: tuple[str, ...]
    package: str | None
    parents: tuple[str, ...]
    chosen: dict[str, Option]
    overridden: dict[str, str]
    options: dict[str, Option]


@cache
def read_config_file(path: Path) -> ConfigFile:
    """Read a YAML file in ``conf/``, or in one of the user's folders.

    Raises:
        yaml.YAMLError: if the file is not valid YAML.
    """
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    commented = next((n for n, line in enumerate(lines) if not line.startswith("#")), len(lines))
    head = [line[1:].rstrip().removeprefix(" ") for line in lines[:commented]]
    package = next((line.split()[1] for line in head if line.startswith("@package ")), None)
    words = tuple(line for line in head if not line.startswith("@package "))
    node = yaml.compose(text, Loader=_LOADER)
    entries = {} if node is None else dict(_entries(node, lines, commented))
    options = {name: option for name, option in entries.items() if name.partition(".")[0] not in _HYDRAS}
    defaults: list[Any] = (
        next((value.value for key, value in node.value if key.value == "defaults"), []) if node else []
    )
    chosen: dict[str, Option] = {}
    overridden: dict[str, str] = {}
    for item in defaults:
        if not isinstance(item, yaml.MappingNode):
            continue
        for name, option in _entries(item, lines, commented):
            if name.startswith("override "):
                overridden[name.removeprefix("override ").lstrip("/")] = str(option.default)
            elif not name.startswith("optional "):
                chosen[name.lstrip("/")] = option
    parents = tuple(item.value for item in defaults if isinstance(item, yaml.ScalarNode))
    place = {"_global_": "", "_group_": None}.get(str(package), package)
    return ConfigFile(words, place, tuple(p for p in parents if p != "_self_"), chosen, overridden, options)


def _entries(node: Any, lines: list[str], head: int, prefix: str = "") -> Iterator[tuple[str, Option]]:
    for key, value in node.value:
        name = f"{prefix}{key.value}"
        names_class = isinstance(value, yaml.MappingNode) and any(k.value == "_target_" for k, _ in value.value)
        if names_class or (isinstance(value, yaml.MappingNode) and not value.flow_style):
            place = (value, value.end_mark.column) if value.flow_style else (key, key.end_mark.column + 1)
            yield name, Option(None, _comment(lines, head, *place))
            yield from _entries(value, lines, len(lines) if value.flow_style else head, f"{name}.")
            continue
        start, end = value.start_mark, value.end_mark
        if start.line == end.line:
            written = lines[start.line][start.column : end.column]
        else:
            written = "[...]" if isinstance(value, yaml.SequenceNode) else str(value.value)
        yield name, Option(written, _comment(lines, head, value, end.column, goes_on=True))


def inline_entries(option: Option, prefix: str) -> dict[str, Option]:
    """Read the entries of a one-line mapping.

    Example:
        >>> inline_entries(Option("{ size: 64, mean: half }"), "preprocess.")["preprocess.size"].default
        '64'
    """
    node = yaml.compose(str(option.default), Loader=_LOADER)
    return dict(_entries(node, [str(option.default)], 0, prefix)) if isinstance(node, yaml.MappingNode) else {}


def _comment(lines: list[str], head: int, node: Any, column: int, goes_on: bool = False) -> str:
    """Return the comment after a value, or else the comment lines above it, without the head of the file.

    With ``goes_on``, a comment after a value may continue on the lines below if these are indented, either the whole
    comment or the text after the #.
    """
    last = node.end_mark.line
    own = len(lines[last]) - len(lines[last].lstrip()) if last < len(lines) else 0
    found = re.match(r"\s*#\s*(.*)", lines[last][column:]) if last < len(lines) else None
    if found:
        words = [found[1].strip()]
        for line in lines[last + 1 :] if goes_on else ():
            more = re.match(r"(\s*)#(\s*)(\S.*)", line)
            if not more or (len(more[1]) <= own and len(more[2]) < 2):
                break
            words.append(more[3])
        return " ".join(words)
    above: list[str] = []
    line = node.start_mark.line - 1
    while line >= head and (found := re.match(rf"\s{{{own}}}# ?(\S.*)", lines[line])):
        above.insert(0, found[1].strip())
        line -= 1
    return " ".join(above)
