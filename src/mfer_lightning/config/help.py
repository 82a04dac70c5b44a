"""Write the help text of a command from its configuration files. Imports neither Hydra nor torch."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Mapping

from mfer_lightning.config.location import choices, config_file
from mfer_lightning.config.options import (
    LIKE_TRAIN,
    NAMES_CHOICES,
    RECIPES,
    is_internal,
    options_of,
    primary_file,
    takes_several,
)
from mfer_lightning.config.yaml_options import Option, read_config_file

#: Note at the top of the help of a command with groups.
_CHOICES_SHOWN = (
    "A choice in [brackets] at the end of a line sets that default. Add your choices to see their options: "
    "mfer train dataset=rafdb optimizer=sgd --help"
)

#: Maximum length of an option with its default for the comment to be on the same line; otherwise, it is on the next.
_LONGEST = 30


def terminal_width() -> int:
    """Return the width of the terminal in columns, limited to 60 to 120; 80 without a terminal."""
    return min(max(shutil.get_terminal_size().columns, 60), 120)


def wrapped(head: str, text: str, width: int) -> list[str]:
    """Wrap a text to the right of its head, with continuation lines aligned.

    Example:
        >>> wrapped("  seed=0  ", "fixes initial weights", 24)
        ['  seed=0  fixes initial', '          weights']
    """
    indent = " " * len(head)
    lines = textwrap.wrap(text, width, initial_indent=head, subsequent_indent=indent, break_on_hyphens=False)
    return lines or [head.rstrip()]


def verb_help(verb: str, summary: str, chosen: Mapping[str, str] | None = None, width: int | None = None) -> str:
    """Return the help text of a command: its purpose, its options and their defaults.

    Args:
        verb: name of the command.
        summary: its purpose in a few words.
        chosen: group -> choice on the command line, whose options replace those of the default.
        width: number of columns; None: that of the terminal.
    """
    width = width or terminal_width()
    page, description, examples = _head(verb)
    lines = [f"Usage: mfer {verb} [option=value ...]", "", *wrapped("", f"{summary}{page}. {description}", width), ""]
    options = {name: option for name, option in options_of(verb, chosen).items() if not is_internal(name, option)}
    grouped = primary_file(verb).chosen
    if grouped:
        lines += [*wrapped("", _CHOICES_SHOWN, width), ""]
    lines.append("Options:")
    top = [name for name, option in options.items() if "." not in name and option.default is not None]
    lines += _lines([name for name in top if name not in grouped], options, width)
    if verb in LIKE_TRAIN:
        lines += ["", *wrapped("", f"mfer {verb} also takes every option of mfer train: see mfer train --help.", width)]
    for node in dict.fromkeys(name.partition(".")[0] for name in options):
        inner = [name for name in options if name.startswith(f"{node}.") and options[name].default is not None]
        if node in grouped and node not in RECIPES:
            lines += ["", *_group(node, options[node], width), *_lines(inner, options, width)]
        elif inner:
            said = f"   {options[node].comment}" if options[node].comment else ""
            lines += ["", *wrapped(f"{node}:", said, width), *_lines(inner, options, width)]
    recipes = [group for group in grouped if group in RECIPES]
    if recipes:
        lines += ["", "Recipes, which set several options at once:"]
    for group in recipes:
        lines += [*_lines([group], options, width), *wrapped("    ", _legal(group), width)]
    if verb in NAMES_CHOICES:
        lines += [
            "",
            "Choices:",
            *(line for g in NAMES_CHOICES[verb] for line in wrapped(f"  {g}=  ", _legal(g), width)),
        ]
    lines += [
        "",
        *wrapped("-m  ", "run once for each of several values, separated by commas. Other flags: mfer --help", width),
    ]
    return "\n".join([*lines, "", "Examples:", *(f"  {example}" for example in examples)])


def _head(verb: str) -> tuple[str, str, list[str]]:
    """Return the docs page, the description and the examples from the head of a command's file."""
    head = primary_file(verb).head
    examples = [line.strip() for line in head if re.match(r"\s+mfer\b", line)]
    words = " ".join(line for line in head if line.strip() not in (*examples, "Examples:"))
    found = re.match(r"Options of `mfer \w+`[^.(]*( \(docs/[\w.]+\))?\. *", words)
    return (found[1] or "", words[found.end() :], examples) if found else ("", words, examples)


def _lines(names: list[str], options: Mapping[str, Option], width: int) -> list[str]:
    """Format one line per option, with aligned comments."""
    heads = {name: f"  {name}={_shown(options[name])}" for name in names}
    column = max((len(head) for head in heads.values() if len(head) <= _LONGEST), default=_LONGEST) + 2
    lines = []
    for name, head in heads.items():
        option = options[name]
        need = "required: " if option.default == "???" else ""
        text = f"{need}{option.comment}{f' [{option.origin}]' if option.origin else ''}".lstrip()
        if len(head) > _LONGEST:
            lines += [head if len(head) <= width else f"{head[: width - 3]}...", *wrapped(" " * column, text, width)]
        else:
            lines += wrapped(f"{head:<{column}}", text, width)
    return lines


def _shown(option: Option) -> str:
    default = "" if option.default in ("???", None) else str(option.default)
    found = re.fullmatch(r"\$\{oc\.env:(\w+),?(.*)\}", default)
    return f"${found[1]}, else {found[2]}" if found and found[2] else default


def _group(group: str, option: Option, width: int) -> list[str]:
    """Format the heading of a group: its choice, the description, and all choices."""
    path = config_file(f"{group}/{option.default}")
    head = " ".join(read_config_file(path).head) if path else option.comment
    first = re.split(r"(?<!e\.g)(?<!\bal)\.(?= |$)", head)[0]
    several = "any of" if takes_several(group) else "one of"
    origin = f" [{option.origin}]" if option.origin else ""
    return [
        *wrapped(f"{group}={option.default}  ", f"{first}{origin}", width),
        *wrapped(f"  {several} ", _legal(group), width),
    ]


def _legal(group: str) -> str:
    return ", ".join(choices(group)) or "none"
