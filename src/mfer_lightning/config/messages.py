"""Convert errors of Hydra and OmegaConf to messages that say what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields

from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from mfer_lightning.config.damaged_files import explain_file
from mfer_lightning.config.hints import hint, more_by_name, no_option, option_names, sentence
from mfer_lightning.config.location import choices, groups
from mfer_lightning.config.options import RECIPES
from mfer_lightning.config.schema import Train
from mfer_lightning.config.trainer_options import REFUSED
from mfer_lightning.errors import UserError, nearest

#: Pattern in OmegaConf's message, and what the value must be.
_KINDS = (
    ("is not a valid bool", "true or false"),
    ("is not a ListConfig", "a list in brackets, e.g. [a,b]"),
    ("to Dict[", "a mapping, e.g. {name:value}"),
    ("Cannot convert 'ListConfig' to", "one value, not a list"),
    ("Cannot convert 'list' to", "one value, not a list"),
    ("Cannot convert 'DictConfig' to", "one value, not a mapping"),
)


@contextmanager
def readable(schema: type = Train, overrides: Sequence[str] = (), full: bool = False) -> Iterator[None]:
    """Convert errors that Hydra and OmegaConf raise in a block to user errors.

    Args:
        schema: dataclass of the command's options.
        overrides: the command line, if known.
        full: raise the original errors, with their tracebacks.

    Raises:
        UserError: instead of an error about the configuration.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        message = None if full else explain(error, schema, overrides)
        if message is None:
            raise
        raise UserError(message) from error


def explain(error: BaseException, schema: type = Train, overrides: Sequence[str] = ()) -> str | None:
    """Explain an error in the command line or a configuration file.

    Args:
        error: the error caught around composition or a job.
        schema: dataclass of the command's options.
        overrides: the command line, if known.

    Returns:
        One message with the nearest legal names, or None if the error is not about the configuration.
    """
    if isinstance(error, ValueError) and "Config group override" in str(error):
        return _no_name(overrides)
    if "INTERVAL_SWEEP" in str(error) or re.match(r"Sweep parameters '[^']*\binterval\(", str(error).strip()):
        return _interval(schema, overrides)
    several = re.match(r"Ambiguous value for argument '([^']*)'", str(error).strip())
    if several:
        return (
            f"{several[1]}: several values need a sweep: mfer -m {several[1]} (in Python: sweep). Quote a single "
            "value that contains commas, and put a list in brackets."
        )
    twice = re.match(r"Multiple values for (\S+)\. To override", str(error).strip())
    if twice:
        return f"{twice[1]} already has a choice: write {twice[1]}=..., without a + before it."
    if isinstance(error, MissingConfigException):
        return _missing_choice(error)
    if isinstance(error, OverrideParseException):
        return _unparsable(error)
    if isinstance(error, OmegaConfBaseException):
        return _bad_value(error, schema, overrides)
    if isinstance(error, ConfigCompositionException):
        if isinstance(error.__cause__, OmegaConfBaseException):
            return _bad_value(error.__cause__, schema, overrides)
        return _unknown_override(str(error), schema, overrides)
    if isinstance(error, HydraException):
        return _first_line(str(error))
    return explain_file(error)


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else "the configuration could not be composed"


def _interval(schema: type, overrides: Sequence[str]) -> str:
    """Return the message for a numeric interval, whose values a grid cannot list."""
    given = next((o for o in overrides if "interval(" in o), "interval(...)")
    ends = re.search(r"interval\(([^()]*)\)", given)
    search = "To search the interval, add sweep=optuna. To run a grid, list" if schema is Train else "List"
    return (
        f"{given}: a grid needs values, not an interval. {search} the values: "
        f"-m {given.partition('=')[0]}={ends[1].replace(' ', '') if ends else '...'}"
    )


def _no_name(overrides: Sequence[str]) -> str:
    """Return the message for a choice that is a number or null. Hydra's error does not name the option."""
    for override in overrides:
        key, _, value = override.partition("=")
        if key in groups() and value not in choices(key):
            return f"{override}: there is no such choice. {sentence(nearest(value, choices(key)), choices(key))}"
    return "A choice must be a name, not a number or null. See mfer --help."


def _missing_choice(error: MissingConfigException) -> str:
    group, _, name = (error.missing_cfg_file or "").rpartition("/")
    top = group.partition("/")[0]
    legal = choices(top) if top and top != "hydra" else []
    if legal:
        wanted = f"{group}/{name}"[len(top) + 1 :]
        more = more_by_name(top, wanted)
        return f"{top}={wanted}: there is no such choice. {sentence(nearest(wanted, legal), legal)}{more}"
    if group and error.options:
        return f"{group}={name}: there is no such choice. {sentence(nearest(name, error.options), list(error.options))}"
    return _first_line(str(error))


def _unparsable(error: OverrideParseException) -> str:
    text = error.override
    if "=" not in text and re.fullmatch(r"[\w./-]+", text):
        return (
            f"`{text}` is neither a command nor an option: options are written key=value, e.g. loss=dsf. "
            "See mfer --help."
        )
    key, _, value = text.partition("=")
    if value and not re.fullmatch(r"[+~]*[A-Za-z_][\w./@-]*", key, re.ASCII):
        return f"`{key}` is not an option: options are written key=value, e.g. loss=dsf. See mfer --help."
    return (
        f"`{text}` cannot be understood: options are written key=value. Quote a value that contains spaces, commas, "
        "brackets, = signs or letters beyond ASCII, e.g. 'paths.data=\"/my data\"'."
    )


def _not_a_node(key: str, value: str, schema: type) -> str:
    """Return the message for a value given to a node, which has its own options."""
    names = option_names(_verb(schema), schema)
    inner = [name for name in names if name.startswith(f"{key}.")]
    meant = hint(key, value, names, _verb(schema)) or "set one of them."
    return f"{key}={value}: `{key}` is not a single option, but a group of options ({', '.join(inner)}): {meant}"


def _unknown_override(text: str, schema: type, overrides: Sequence[str]) -> str:
    match = re.search(r"Could not override '([^']+)'", text)
    if not match:
        return _first_line(text)
    key = match.group(1).split("@")[0]
    options = {f.name for f in fields(schema)}
    legal = sorted(options | {r for r in RECIPES if schema is Train})
    verb = _verb(schema)
    return f"{no_option(key, legal, verb, overrides, schema)} See mfer {verb} --help."


def _verb(schema: type) -> str:
    return schema.__name__.lower()


def _given(first: str) -> str:
    """Return the rejected value as ``=value`` if the message contains it; empty otherwise."""
    found = re.search(r"'([^']*)'", first)
    return f"={found[1]}" if found and "bool" in first else ""


def _bad_value(error: OmegaConfBaseException, schema: type, overrides: Sequence[str]) -> str:
    key = getattr(error, "full_key", None) or getattr(error, "key", None)
    parent = getattr(error, "parent_node", None)
    first = _first_line(str(error.msg if getattr(error, "msg", None) else error))
    if "not in" in first and isinstance(parent, DictConfig):
        if str(key).startswith("trainer.") and (leaf := str(getattr(error, "key", key))) in REFUSED:
            return f"`{key}` is not an option here: {REFUSED[leaf]}"
        return no_option(str(key), [str(k) for k in parent if k != "hydra"], _verb(schema), overrides, schema)
    found = re.search(r"Value '([^']*)' of type '\w+' could not be converted to (\w+)", first)
    if found:
        kind = {"Integer": "a whole number", "Float": "a number"}.get(found[2], found[2])
        return f"{key}={found[1]}: the value must be {kind}."
    wrong = re.search(r"Invalid type assigned: \w+ is not a subclass of \w+. value: (.*)", first)
    if wrong:
        return _not_a_node(str(key), wrong[1], schema)
    for complaint, kind in _KINDS:
        if complaint in first:
            value = _given(first)
            return f"{key}{value}: the value must be {kind}."
    if "does not support deletion" in first:
        return f"`{key}` cannot be removed with ~: leave it out to use its default, or give a value."
    if absent := re.search(r"Environment variable '([^']*)' not found", first):
        return f"{key}: the environment variable {absent[1]} is not set. Set it, or write the value itself."
    if absent := re.search(r"Interpolation key '([^']*)' not found", first):
        return f"{key}: ${{{absent[1]}}} refers to the option {absent[1]}, which does not exist."
    if "Missing mandatory value" in first:
        return f"`{key}` has no value: set {key}=..."
    return f"{key}: {first}" if key else first
