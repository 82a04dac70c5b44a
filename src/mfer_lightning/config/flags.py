"""Separate Hydra's flags from the overrides of a command line. Imports neither Hydra nor torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mfer_lightning.config.location import config_dirs
from mfer_lightning.errors import UserError, nearest

MULTIRUN = ("-m", "--multirun")
#: Flags of Hydra, without and with a value.
PLAIN_FLAGS = (*MULTIRUN, "--resolve", "--hydra-help", "--run", "-r")
CONFIG_NAME = ("--config-name", "-cn")
VALUE_FLAGS = ("--cfg", "-c", "--package", "-p", "--config-dir", "-cd", "--info", "-i", *CONFIG_NAME)

#: Unsupported flags of Hydra, with the reason and the alternative.
REFUSED_FLAGS = {
    "--experimental-rerun": "loads pickled files, which can execute code; it is not supported here. "
    "config.yaml in a run's folder contains its configuration.",
    **dict.fromkeys(
        ("--config-path", "-cp"),
        "is not supported, because it would replace our files. Use --config-dir <folder> to add yours.",
    ),
}

#: Legal values of a flag, if there are only a few.
FLAG_VALUES = dict.fromkeys(("--cfg", "-c"), ("job", "hydra", "all")) | dict.fromkeys(
    ("--info", "-i"), ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
)


def join_values(arguments: Sequence[str]) -> list[str]:
    """Convert ``--flag value`` to ``--flag=value``, so that no command treats the value as a folder.

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


def split_flags(arguments: Sequence[str], verb: str = "train") -> tuple[list[str], list[str]]:
    """Separate Hydra's flags from the overrides, in any order.

    Args:
        arguments: the command-line arguments after the command.
        verb: name of the command.

    Returns:
        Flags with their values, and overrides.

    Raises:
        UserError: for an unknown or unsupported flag, a missing or illegal value, or a word that starts with =.

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
        elif name in REFUSED_FLAGS:
            raise UserError(f"{name} {REFUSED_FLAGS[name]}")
        else:
            _refuse(name, value or (rest[0] if rest and not rest[0].startswith("-") else "..."), verb)
    return flags, overrides


def _refuse(flag: str, value: str, verb: str) -> None:
    """Reject an unknown flag, with a suggestion if it resembles an option."""
    from mfer_lightning.config.hints import hint, option_names

    option = flag.lstrip("-").replace("-", "_")
    names = option_names(verb)
    if flag.startswith("--"):
        meant = f"{option}={value}, not {flag}." if option in names else hint(option, value, names, verb)
        if meant or "." in option:
            raise UserError(f"Options are written key=value, without dashes: {meant or f'{option}={value}.'}")
    raise UserError(f"There is no flag {flag}: {nearest(flag, [*PLAIN_FLAGS, *VALUE_FLAGS])}")


def primary_config(flags: Sequence[str], verb: str) -> str:
    """Return the name of the primary configuration file: ``--config-name``, or that of the command.

    Args:
        flags: the result of :func:`split_flags`.
        verb: name of the command.

    Raises:
        UserError: if the file is not in any folder passed with ``--config-dir``.

    Example:
        >>> primary_config(["-m"], "train")
        'train'
    """
    words = join_values(flags)
    name = next((w.partition("=")[2] for w in words if w.partition("=")[0] in CONFIG_NAME), verb)
    name = name.removesuffix(".yaml")
    if name != verb and not any((Path(folder) / f"{name}.yaml").is_file() for folder in config_dirs(words)):
        raise UserError(
            f"--config-name {name}: there is no {name}.yaml in any folder passed with --config-dir. Write one "
            f"that starts with `defaults: [{verb}, _self_]` and add --config-dir <its folder>, or make it a recipe: "
            f"<folder>/experiment/{name}.yaml and experiment={name}."
        )
    return name


def wants_sweep(flags: Sequence[str], overrides: Sequence[str]) -> bool:
    """Whether a command line runs a sweep; not if it only prints a configuration.

    Example:
        >>> wants_sweep(["-m"], ["seed=0,1"]), wants_sweep([], ["sweep=optuna"]), wants_sweep(["-m", "--cfg"], [])
        (True, True, False)
    """
    if any(f.partition("=")[0] in ("--cfg", "-c", "--info", "-i", "--hydra-help") for f in flags):
        return False
    mode = hydra_mode(overrides)
    if mode is not None:
        return mode == "MULTIRUN"
    search = any(o.startswith("sweep=") and o not in ("sweep=null", "sweep=") for o in overrides)
    return search or any(flag in MULTIRUN for flag in flags)


def hydra_mode(overrides: Sequence[str]) -> str | None:
    """Return the value of ``hydra.mode``; None if it is not set, or null.

    Example:
        >>> hydra_mode(["hydra.mode=MULTIRUN", "++hydra.mode='RUN'"]), hydra_mode(["hydra.mode=null"]), hydra_mode([])
        ('RUN', None, None)
    """
    given = [o.partition("=")[2].strip().strip("'\"") for o in overrides if o.lstrip("+").startswith("hydra.mode=")]
    return given[-1] if given and given[-1] != "null" else None


def check_mode(flags: Sequence[str], overrides: Sequence[str]) -> None:
    """Reject ``-m`` with ``hydra.mode=RUN``.

    Raises:
        UserError: if both are given.
    """
    if hydra_mode(overrides) == "RUN" and any(flag in MULTIRUN for flag in flags):
        raise UserError("hydra.mode=RUN starts a single run, but -m starts a sweep. Leave out one of them.")
