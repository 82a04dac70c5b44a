"""Complete commands, groups, choices, options and files in bash, zsh and fish. Imports neither Hydra nor torch.

As in every Hydra application, ``mfer -sc install=bash`` prints a script for the shell to evaluate. Hydra's completion
is not used: it does not know the commands, imports Hydra each time Tab is pressed, and lets bash expand special
characters in file names.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from mfer_lightning.config.flags import PLAIN_FLAGS, VALUE_FLAGS
from mfer_lightning.config.location import choices, groups
from mfer_lightning.config.options import LIKE_TRAIN, NAMES_CHOICES, is_internal, options_of
from mfer_lightning.config.yaml_options import Option
from mfer_lightning.errors import UserError

#: Commands whose positional arguments are completed as file names.
_TAKES_FILES = ("predict", "report")

#: Shell -> commands that install and remove the completion. The shell passes the command line up to the cursor. Bash
#: splits words at = and replaces only the last part.
SHELLS = {
    "bash": (
        """_mfer() {
    local line="${COMP_LINE:0:COMP_POINT}" part="${COMP_WORDS[COMP_CWORD]}" word found
    word="${line##*[[:space:]]}"
    [[ $part == [=:] ]] && part=""
    COMPREPLY=()
    while IFS= read -r found; do [[ -n $found ]] && COMPREPLY+=("${found#"${word%"$part"}"}"); done \\
        < <(COMP_LINE="$line" mfer -sc query=bash 2>/dev/null)
}
complete -o nospace -o default -F _mfer mfer""",
        "complete -r mfer; unset -f _mfer",
    ),
    "zsh": (
        """_mfer() {
    local -a found
    found=(${(f)"$(COMP_LINE="${(j: :)words[1,CURRENT]}" mfer -sc query=zsh 2>/dev/null)"})
    compadd -S '' -- $found
}
compdef _mfer mfer""",
        "compdef -d mfer; unfunction _mfer",
    ),
    "fish": (
        "complete -c mfer -f -a '(env COMP_LINE=(commandline -cp | string collect) mfer -sc query=fish 2>/dev/null)'",
        "complete -c mfer -e",
    ),
}


def shell_completion(arguments: Sequence[str], verbs: Sequence[str]) -> str:
    """Handle ``-sc install=<shell>``, ``-sc uninstall=<shell>``, and ``-sc query=<shell>``, which the scripts call.

    Args:
        arguments: the command line.
        verbs: the available commands.

    Returns:
        The text to print.

    Raises:
        UserError: for other arguments or shells.
    """
    asked = {a.partition("=")[0]: a.partition("=")[2] for a in arguments if not a.startswith("-")}
    for what in ("install", "uninstall", "query"):
        if asked.get(what) in SHELLS:
            if what == "query":
                found = candidates(os.environ.get("COMP_LINE", ""), verbs)
                # Bash inserts words unchanged; the other shells quote them.
                return "\n".join(_quoted(word) for word in found) if asked[what] == "bash" else "\n".join(found)
            return SHELLS[asked[what]][what == "uninstall"]
    raise UserError(
        'To install completion, run eval "$(mfer -sc install=bash)" (or install=zsh), or in fish '
        "mfer -sc install=fish | source. Add the line to the startup file of the shell to make it permanent."
    )


def candidates(line: str, verbs: Sequence[str]) -> list[str]:
    """Return the completions of the last word in a command line.

    Args:
        line: command line up to the cursor, starting with the program name.
        verbs: the available commands.

    Returns:
        Complete words. Nodes end with a dot and options with =, so that completion can continue.

    Example:
        >>> candidates("mfer train loss=l", ["train"])
        ['loss=lgm']
        >>> candidates("mfer optimizer.weight", ["train"])
        ['optimizer.weight_decay=']
    """
    words = line.split()[1:] or [""]
    if line[-1:].isspace() and words != [""]:
        words.append("")
    last = words[-1]
    verb = words[0] if words[0] in verbs and len(words) > 1 else "train"
    if last.startswith("-"):
        return [flag for flag in (*PLAIN_FLAGS, *VALUE_FLAGS, "--help", "--version") if flag.startswith(last)]
    chosen = {k: v for k, _, v in (w.partition("=") for w in words[:-1]) if k in groups()}
    options = {name: option for name, option in options_of(verb, chosen).items() if not is_internal(name, option)}
    if verb in LIKE_TRAIN:
        options = {**options_of("train", chosen), **options}
    if "=" in last:
        return _values(last, verb, options)
    first = [v for v in verbs if v.startswith(last)] if len(words) == 1 else []
    more = [f"{group}=" for group in NAMES_CHOICES.get(verb, ()) if group.startswith(last)]
    files = _files(last) if verb in _TAKES_FILES else []
    return sorted({*first, *more, *_names(last, options), *files})


def _names(last: str, options: Mapping[str, Option]) -> list[str]:
    """Return the options and nodes at the level of the last word."""
    level = last.count(".")
    found = []
    for name, option in options.items():
        if not name.startswith(last):
            continue
        parts = name.split(".")
        if len(parts) > level + 1:
            found.append(".".join(parts[: level + 1]) + ".")
        elif option.default is not None:
            found.append(f"{name}=")
    return found


def _values(last: str, verb: str, options: Mapping[str, Option]) -> list[str]:
    """Return the values of an option: choices of a group, booleans, the default, or files.

    After a comma or an opening bracket, the next value of the list is completed.
    """
    split = re.fullmatch(r"(.*[=,\[])(.*)", last)
    before, begun = (split[1], split[2]) if split else ("", last)
    name = last.partition("=")[0].lstrip("+~")
    default = options[name].default if name in options else None
    legal = choices(name) if name in groups() and (name in options or name in NAMES_CHOICES.get(verb, ())) else []
    if not legal and default in ("true", "false"):
        legal = ["true", "false"]
    elif not legal and default and not begun and re.fullmatch(r"[\w.+-]+", default) and default != "null":
        legal = [default]
    found = [value for value in legal if value.startswith(begun)]
    return [f"{before}{value}" for value in found or _files(begun)]


def _quoted(word: str) -> str:
    """Escape special characters of the shell, e.g. ``$`` in a file name."""
    return re.sub(r"([^\w@%+=:,./\[\]~-])", r"\\\1", word)


def _files(begun: str) -> list[str]:
    found = glob.glob(f"{glob.escape(begun)}*")  # noqa: PTH207 - Path would drop a ./ that was typed
    return sorted(f"{file}/" if Path(file).is_dir() else file for file in found)
