"""List the options of every command with defaults and comments from ``conf/``. Imports neither Hydra nor torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import yaml

from mfer_lightning.config.location import choices, config_file
from mfer_lightning.config.yaml_options import ConfigFile, Option, inline_entries, read_config_file
from mfer_lightning.errors import UserError

#: Groups of recipes, which set options of other groups and have none of their own.
RECIPES = ("experiment", "debug", "sweep", "launcher")

#: Commands that accept every option of ``mfer train`` in addition to their own.
LIKE_TRAIN = ("data",)

#: Command -> groups that are not in its defaults list, but of which it accepts a choice.
NAMES_CHOICES = {"evaluate": ("dataset",), "data": ("dataset",)}


def primary_file(verb: str) -> ConfigFile:
    """Read the configuration file of a command, ``conf/<command>.yaml``.

    Raises:
        UserError: if there is no such file.
    """
    path = config_file(verb)
    if path is None:
        raise UserError(f"The configuration of mfer {verb} is missing: there is no {verb}.yaml.")
    return read_config_file(path)


def options_of(verb: str, chosen: Mapping[str, str] | None = None) -> dict[str, Option]:
    """List the options of a command: those in its own file, and those of the choices in its defaults list.

    Args:
        verb: name of the command.
        chosen: group -> choice on the command line; other groups have their default choice.

    Returns:
        Dotted name -> option, in the order of the files. If another choice sets a default (``dataset=facs`` sets a
        smaller ``preprocess.size``), :attr:`.Option.origin` names that choice.

    Example:
        >>> options_of("train", {"optimizer": "sgd"})["optimizer.momentum"].default
        '0.9'
    """
    primary = primary_file(verb)
    wanted, origins = _choices_made(primary, chosen or {})
    tree: dict[str, Option] = dict(primary.options)
    brought: list[tuple[str, str, Option]] = []
    for group, option in primary.chosen.items():
        names = ",".join(wanted[group])
        shown = f"[{names}]" if _is_list(option) else names or "null"
        tree[group] = option._replace(default=shown, origin=origins.get(group, ""))
        for name in wanted[group]:
            for key, inner in group_options(group, name).items():
                if key.partition(".")[0] != group:
                    brought.append((f"{group}={name}", key, inner))
                elif key != group:
                    tree[key] = inner if inner.comment else inner._replace(comment=_elsewhere(group, key))
    for origin, key, option in brought:
        written = inline_entries(option, f"{key}.") if any(k.startswith(f"{key}.") for k in tree) else {key: option}
        for name, found in written.items():
            if found.default is not None and name in tree:
                tree[name] = tree[name]._replace(default=found.default, origin=origin)
    for key, option in tree.items():
        named = tree.get(f"{key.rpartition('.')[0]}.name")
        if named is not None:
            tree[key] = option = option._replace(default=_when(option.default, str(named.default)))
        target = tree.get(f"{key.rpartition('.')[0]}._target_")
        if target is not None and not option.comment:
            tree[key] = option._replace(comment=f"argument of {target.default}")
    return tree


def every_option(verb: str) -> dict[str, Option]:
    """List the options of a command under every choice of its groups.

    Example:
        >>> {"optimizer.momentum", "scheduler.milestones"} <= set(every_option("train"))
        True
    """
    primary = primary_file(verb)
    tree = dict(primary.options)
    for group in primary.chosen:
        tree[group] = primary.chosen[group]
        if group not in RECIPES:
            for name in choices(group):
                tree |= {k: o for k, o in group_options(group, name).items() if k.split(".")[0] == group}
    if verb in LIKE_TRAIN:
        tree = {**every_option("train"), **tree}
    return tree


def group_options(group: str, name: str) -> dict[str, Option]:
    """Return the options that a choice of a group sets, including those of files that it extends.

    Empty for an unknown choice.
    """
    path = config_file(f"{group}/{name}")
    if path is None:
        return {}
    file = read_config_file(path)
    tree: dict[str, Option] = {}
    folder = f"{group}/{name}".rpartition("/")[0]
    for parent in file.parents:
        where = parent.lstrip("/") if parent.startswith("/") else f"{folder}/{parent}"[len(group) + 1 :]
        tree |= group_options(group, where)
    prefix = f"{group if file.package is None else file.package}."
    for key, option in file.options.items():
        full = f"{prefix}{key}".lstrip(".")
        tree[full] = option if option.comment or full not in tree else option._replace(comment=tree[full].comment)
    return tree


def is_internal(name: str, option: Option) -> bool:
    """Whether an entry is internal, i.e. not an option for the user.

    Example:
        >>> is_internal("loss.feature._target_", Option("a.B")), is_internal("optimizer.lr", Option("1e-3"))
        (True, False)
    """
    leaf = name.rpartition(".")[2]
    return leaf == "_target_" or ("." in name and not option.comment and (leaf == "name" or option.default == "{}"))


def takes_several(group: str) -> bool:
    """Whether a group of ``mfer train`` accepts several choices at once, as a list.

    This is the case if its default is a list, or if each choice sets only the node with its own name.

    Example:
        >>> takes_several("loss"), takes_several("logger")
        (False, True)
    """
    default = primary_file("train").chosen.get(group)
    if default is not None and _is_list(default):
        return True
    set_by = {name: [key.split(".") for key in group_options(group, name)] for name in choices(group)}
    nodes = {
        name: {key[1] for key in keys if key[0] == group and key[1:] not in ([], ["name"])}
        for name, keys in set_by.items()
    }
    return any(nodes.values()) and all(found <= {name} for name, found in nodes.items())


def _when(written: str | None, name: str) -> str | None:
    """Evaluate an interpolation of :mod:`mfer_lightning.config.resolvers` for the name of its node.

    Example:
        >>> _when('"${mfer.when:[adamw,sgd],[0.9,0.99]}"', "sgd"), _when("${mfer.when:lion,1e-4,1e-3}", "sgd")
        ('[0.9,0.99]', '1e-3')
    """
    part = r"(\[[^\]]*\]|[^,\[\]]*)"
    found = re.fullmatch(rf'"?\$\{{mfer\.when:{part},{part}(?:,{part})?\}}"?', written or "")
    if found is None:
        return written
    return found[2] if name in _names(found[1]) else found[3] or "null"


def _is_list(option: Option) -> bool:
    return str(option.default).startswith("[")


def _choices_made(primary: ConfigFile, chosen: Mapping[str, str]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Return group -> choices, and group -> origin of its choice if a file other than the primary file sets it."""
    wanted = {group: _names(chosen.get(group, option.default)) for group, option in primary.chosen.items()}
    origins: dict[str, str] = {}
    for group in list(wanted):
        for name in wanted[group]:
            path = config_file(f"{group}/{name}")
            for other, choice in (read_config_file(path).overridden if path else {}).items():
                if other in wanted and other not in chosen:
                    wanted[other], origins[other] = _names(choice), f"{group}={name}"
    return wanted, origins


def _names(written: Any) -> list[str]:
    value = yaml.safe_load(str(written))
    return [str(name) for name in (value if isinstance(value, list) else [value] if value is not None else [])]


@cache
def _elsewhere(group: str, key: str) -> str:
    """Return the comment on the same option in another choice of a group; empty if there is none."""
    said = (group_options(group, name).get(key, Option("")).comment for name in choices(group))
    return next((comment for comment in said if comment), "")
