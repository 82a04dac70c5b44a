"""Suggest the option that an unknown name may mean. Imports neither Hydra nor torch."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from mfer_lightning.config.location import choices, config_dir
from mfer_lightning.config.options import LIKE_TRAIN, every_option, group_options, is_internal
from mfer_lightning.config.usual_names import BY_NAME, SENTENCES, TRAIN, TRAINED
from mfer_lightning.errors import MOST_NAMES, nearest

#: Maximum number of options with the same name to list.
_MOST = 3


def no_option(key: str, legal: Iterable[str], verb: str, overrides: Sequence[str] = (), schema: Any = None) -> str:
    """Return the message for an unknown option, with a suggestion.

    Args:
        key: dotted name that was given, e.g. ``"batch_size"``.
        legal: names that are accepted.
        verb: name of the command.
        overrides: the command line, if known; the given value is repeated in the suggestion.
        schema: dataclass of the command's options, which may have more options than the configuration files.

    Returns:
        One message.
    """
    names = option_names(verb, schema)
    given = (override.lstrip("+~").partition("=") for override in overrides)
    full, _, value = next(
        (g for g in given if g[0] == key or g[0].startswith((f"{key}.", f"{key}@"))), (key, "", "...")
    )
    others = _other_choices(full) if full in names else ""
    if others:
        inner = _without_first_nodes(full, names)
        more = f". Otherwise, use {inner}={value}" if inner else ""
        return f"There is no option `{key}` here: it is an option of {others}{more}."
    said = hint(full, value, names, verb) or _close(key, value, list(legal), names)
    if said:
        return f"There is no option `{key}`: {said}"
    leaf = key.rpartition(".")[2]
    if key.partition(".")[0] not in names:
        other = next((v for v in _verbs() if v != verb and key in option_names(v)), None)
        if other:
            return f"There is no option `{key}` of mfer {verb}: it is an option of mfer {other}."
    legal = list(legal)
    sure = difflib.get_close_matches(leaf, legal, n=1, cutoff=0.9)  # so that max_epoch does not also match min_epochs
    found = nearest(leaf, sure or legal)
    if found.startswith("legal"):
        return f"There is no option `{key}`: {found}."
    return f"There is no option `{key}`. {sentence(found, legal)}"


def sentence(found: str, legal: Sequence[str]) -> str:
    """Format the result of :func:`mfer_lightning.errors.nearest` as sentences, followed by the legal names."""
    found = found[0].upper() + found[1:]
    if found.startswith("Legal"):
        return f"{found}."
    more = f", ... ({len(legal)} in all)" if len(legal) > MOST_NAMES else ""
    return f"{found} Legal: {', '.join(legal[:MOST_NAMES])}{more}."


def hint(key: str, value: str, names: Mapping[str, bool], verb: str) -> str:
    """Suggest the option for a name used in other frameworks, or for the name of an option without its node.

    Args:
        key: dotted name that was given.
        value: value that was given.
        names: names of the command's options.
        verb: name of the command.

    Returns:
        ``"did you mean optimizer.lr=1e-3?"`` or a similar clause; empty if there is no suggestion.

    Example:
        >>> hint("lr", "1e-3", option_names("train"), "train")
        'did you mean optimizer.lr=1e-3?'
    """
    words = key.lower().replace("-", "_")
    leaf = words.rpartition(".")[2]
    likes_train = verb == "train" or verb in LIKE_TRAIN
    if likes_train and words in SENTENCES:
        return f"{SENTENCES[words]}."
    table = TRAIN if likes_train else TRAINED
    inner = _without_first_nodes(words, names)
    if inner:
        return _did_you_mean([_written(inner, value)])
    for name in dict.fromkeys((words, leaf)):
        targets = [t for t in table.get(name, "").split(" or ") if t.partition("=")[0] in names and t != key]
        if targets:
            more = more_by_name(targets[0], value) if value != "..." and value not in choices(targets[0]) else ""
            return f"{_did_you_mean([_written(target, value) for target in targets])}{more}"
    plain = leaf.replace("_", "")
    ends = [n for n in names if n != key and n.rpartition(".")[2].replace("_", "") == plain and names[n]]
    return _did_you_mean([_written(n, value) for n in ends]) if 0 < len(ends) <= _MOST else ""


def _without_first_nodes(key: str, names: Mapping[str, bool]) -> str:
    """Return the option that remains when the first nodes of a dotted name are removed; empty if there is none."""
    inner = key.partition(".")[2]
    while "." in inner:
        if names.get(inner) or inner in {option for option, _ in BY_NAME.values()}:
            return inner
        inner = inner.partition(".")[2]
    return ""


def _other_choices(key: str) -> str:
    """List the choices of a group that have an option, e.g. ``"network=dan, dan_64px, ddamfn and others"``.

    Empty if no choice has the option.

    Example:
        >>> _other_choices("method.alpha")
        'method=distill'
    """
    group, parent = key.partition(".")[0], key.rpartition(".")[0]

    def has(name: str) -> bool:
        options = group_options(group, name)
        inline = options.get(parent)  # {name: resnet18}
        return key in options or (inline is not None and str(inline.default).startswith("{"))

    having = [name for name in choices(group) if has(name)]
    more = " and others" if len(having) > _MOST else ""
    return f"{group}={', '.join(having[:_MOST])}{more}" if having else ""


def more_by_name(group: str, name: str) -> str:
    """Return a sentence on how to use something that is not among the choices of a group; empty if it is not possible.

    Example:
        >>> more_by_name("backbone", "resnet18d")
        ' For any other timm model: backbone.name=resnet18d.'
    """
    option, what = BY_NAME.get(group, ("", ""))
    return f" For {what}: {option}={name}." if option else ""


def option_names(verb: str, schema: Any = None) -> dict[str, bool]:
    """Return the names of a command's options and nodes, each with whether it is an option that can be set."""
    tree = every_option(verb)
    names = {name: not is_internal(name, option) and option.default is not None for name, option in tree.items()}
    return {**_fields(schema, ""), **names} if schema is not None else names


def _fields(schema: Any, prefix: str) -> dict[str, bool]:
    found: dict[str, bool] = {}
    for field in fields(schema):
        name = f"{prefix}{field.name}"
        inner = is_dataclass(field.default_factory)
        found[name] = not inner and field.name != "name"
        found |= _fields(field.default_factory, f"{name}.") if inner else {}
    return found


def _written(target: str, value: str) -> str:
    """Format an option with the given value; for a group, with that choice or the most similar choices."""
    legal = [] if "=" in target or "." in target else choices(target)
    if "=" in target or not legal or value in legal:
        return target if "=" in target else f"{target}={value}"
    near = difflib.get_close_matches(value, legal, n=2, cutoff=0.5) or [c for c in legal if c.startswith(value)][:2]
    return " or ".join(f"{target}={name}" for name in near) or f"{target}=..., one of {', '.join(legal)}"


def _did_you_mean(options: Sequence[str]) -> str:
    return f"did you mean {' or '.join(options)}?"


def _close(key: str, value: str, legal: Sequence[str], names: Mapping[str, bool]) -> str:
    """Suggest similar options of other nodes, unless there is a similar name at the same level."""
    leaf = key.rpartition(".")[2]
    if difflib.get_close_matches(leaf, legal, cutoff=0.75):
        return ""
    leaves = {name.rpartition(".")[2] for name, settable in names.items() if settable}
    near = difflib.get_close_matches(leaf, leaves, n=1, cutoff=0.8)
    ends = [n for n, settable in names.items() if near and settable and n.rpartition(".")[2] == near[0]]
    return _did_you_mean([f"{n}={value}" for n in ends]) if 0 < len(ends) <= _MOST else ""


def _verbs() -> list[str]:
    """Return the commands that have options, ``train`` first."""
    return sorted((f.stem for f in config_dir().glob("*.yaml")), key=lambda verb: (verb != "train", verb))
