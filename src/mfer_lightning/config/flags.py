"""Separate Hydra's flags from the overrides of a command line. Imports neither Hydra nor torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from mfer_lightning.config.location import groups
from mfer_lightning.errors import UserError, nearest

#: Hydra's flags, without and with a value.
PLAIN_FLAGS = ("-m", "--multirun", "--resolve", "--hydra-help", "--run", "-r")
VALUE_FLAGS = ("--cfg", "-c", "--package", "-p", "--config-dir", "-cd", "--info", "-i")

#: Legal values of a flag, where they are few.
FLAG_VALUES = dict.fromkeys(("--cfg", "-c"), ("job", "hydra", "all")) | dict.fromkeys(
    ("--info", "-i"), ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
)


def join_values(arguments: Sequence[str]) -> list[str]:
    """Write ``--flag value`` as ``--flag=value``, so that no verb takes the value for a folder.

    Example:
        >>> join_values(["--config-dir", "mine", "-m", "--cfg=job"])
        ['--config-dir=mine', '-m', '--cfg=job']
    """
    joined: list[str] = []
    for word in arguments:
        if joined and joined[-1] in VALUE_FLAGS:
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def split_flags(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Separate Hydra's flags from the overrides, wherever they stand.

    Args:
        arguments: the command line after the verb.

    Returns:
        Flags with their values, and overrides.

    Raises:
        UserError: for a flag that Hydra does not know.

    Example:
        >>> split_flags(["seed=0", "-m", "loss=ce,dsf", "--cfg", "job"])
        (['-m', '--cfg', 'job'], ['seed=0', 'loss=ce,dsf'])
    """
    flags: list[str] = []
    overrides: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        name, given, value = word.partition("=")
        if not name:
            raise UserError(f"`{word}` has no option before the = sign: options are written key=value, e.g. loss=dsf.")
        if not word.startswith("-"):
            overrides.append(word)
        elif name in PLAIN_FLAGS:
            flags.append(word)
        elif name in VALUE_FLAGS:
            flags.append(word)
            if not given:
                if not rest:
                    raise UserError(f"{word} needs a value: {word} {'|'.join(FLAG_VALUES.get(word, ('...',)))}.")
                value = rest.pop(0)
                flags.append(value)
            if value not in FLAG_VALUES.get(name, (value,)):
                raise UserError(f"{name} {value}: {nearest(value, FLAG_VALUES[name])}")
        else:
            from mfer_lightning.config.schema import Train

            option = name.lstrip("-")
            if name.startswith("--") and ("." in option or option in (*groups(), *(f.name for f in fields(Train)))):
                value = value or (rest[0] if rest and not rest[0].startswith("-") else "...")
                raise UserError(f"Options are written key=value, without dashes: {option}={value}, not {name}.")
            raise UserError(f"There is no flag {name}: {nearest(name, [*PLAIN_FLAGS, *VALUE_FLAGS])}")
    return flags, overrides


def wants_sweep(flags: Sequence[str], overrides: Sequence[str]) -> bool:
    """Whether a command line asks for a sweep to be run, and not for its configuration to be shown.

    Example:
        >>> wants_sweep(["-m"], ["seed=0,1"]), wants_sweep([], ["sweep=optuna"]), wants_sweep(["-m", "--cfg"], [])
        (True, True, False)
    """
    if any(f.partition("=")[0] in ("--cfg", "-c", "--info", "-i", "--hydra-help") for f in flags):
        return False
    if any(o.replace(" ", "") == "hydra.mode=RUN" for o in overrides):
        return False
    search = any(o.startswith("sweep=") and o not in ("sweep=null", "sweep=") for o in overrides)
    return search or any(f in ("-m", "--multirun") for f in flags)
