"""Command line: ``mfer [command] [overrides]``, equivalent to ``python -m mfer_lightning``.

This module handles only the command, the help, the version and shell completion, without importing torch or Hydra. Each
command has a module in :mod:`mfer_lightning.commands`.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from mfer_lightning.config.flags import join_values
from mfer_lightning.config.location import choices, groups, use_config_dirs
from mfer_lightning.errors import UserError, nearest
from mfer_lightning.first_rank import end_with_first_rank

#: Command -> its purpose; each is a module of :mod:`mfer_lightning.commands` with ``main(arguments) -> int``.
VERBS = {
    "train": "train a network on a dataset and test its best checkpoint (the default command)",
    "align": "find faces in photos and align them to a named template",
    "data": "check a copy of a dataset: counts, damage, duplicates, leakage, class order",
    "evaluate": "evaluate a checkpoint on any dataset and split; robustness; saliency maps",
    "predict": "predict the emotion of each face in photos, a video or a camera stream",
    "report": "make tables and figures from finished runs, and test which differences are significant",
    "export": "export a trained model: Hugging Face layout with safetensors, or ONNX",
    "models": "list the trained models, bundled and in runs/, with their results",
    "demo": "serve a local web page that runs a trained model on photos",
    "benchmark": "measure training and inference speed on this machine, against a plain baseline",
    "dashboard": "build W&B workspaces and a W&B report from finished runs",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit.

    Exit codes: 0 for success, 2 for a user error, 130 after Ctrl-C, 143 after SIGTERM during training, 1 if the output
    pipe was closed, otherwise the code of the command (1 if jobs of a sweep failed).

    Args:
        arguments: the command line without the program's name; None: ``sys.argv``.

    Raises:
        UserError: instead of exit code 2, if ``MFER_FULL_ERROR`` or ``HYDRA_FULL_ERROR`` is 1.
    """
    end_with_first_rank()
    try:
        code = _run(list(sys.argv[1:] if arguments is None else arguments))
    except UserError as error:
        if os.environ.get("MFER_FULL_ERROR", os.environ.get("HYDRA_FULL_ERROR", "")) == "1":
            raise
        print(f"Error: {error}", file=sys.stderr)
        code = 2
    except BrokenPipeError:  # the reader has closed the pipe: `mfer ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except KeyboardInterrupt:
        print("Stopped. The same command continues an unfinished run.", file=sys.stderr)
        code = 130
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    arguments = _verb_first(join_values(arguments))
    use_config_dirs(arguments)
    if any(a in ("-sc", "--shell-completion") for a in arguments):
        from mfer_lightning.config.completion import shell_completion

        if answer := shell_completion(arguments, list(VERBS)):
            print(answer)
        return 0
    if arguments[:1] == ["help"] or any(a in ("-h", "--help") for a in arguments):
        print(_help_on([a for a in arguments if a not in ("help", "-h", "--help")]))
        return 0
    verb, rest = split_verb(arguments)
    if "--version" in rest:
        from mfer_lightning.version import __version__

        print(f"mfer_lightning {__version__}")
        return 0
    module = importlib.import_module(f"mfer_lightning.commands.{verb}")
    code: int = module.main(rest)
    return code


def _verb_first(arguments: list[str]) -> list[str]:
    """Move the command before the flags, because people type ``mfer -m evaluate ...``."""
    first = next((n for n, word in enumerate(arguments) if not word.startswith("-")), 0)
    if first == 0 or arguments[first] not in VERBS:
        return arguments
    return [arguments[first], *arguments[:first], *arguments[first + 1 :]]


def split_verb(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """Split the command from its arguments.

    Args:
        arguments: the command line without the program's name.

    Returns:
        The command (``"train"`` if none is given) and the remaining arguments.

    Raises:
        UserError: if the first argument is a word but not a command.

    Example:
        >>> split_verb(["dataset=facs", "-m"])
        ('train', ['dataset=facs', '-m'])
        >>> split_verb(["train", "seed=1"])
        ('train', ['seed=1'])
    """
    if arguments and arguments[0].isalpha():
        if arguments[0] not in VERBS:
            hint = nearest(arguments[0], VERBS)
            raise UserError(
                f"`{arguments[0]}` is not a command: {hint}{'' if hint.endswith('?') else '.'} "
                "Options are written key=value, without spaces. See mfer --help."
            )
        return arguments[0], list(arguments[1:])
    return "train", list(arguments)


def _help_on(words: Sequence[str]) -> str:
    """Return the help of the named command, with the given choices; without a command, the overview."""
    if not words or not words[0].isalpha():
        return help_text()
    verb, rest = split_verb(words)
    from mfer_lightning.config.help import verb_help

    chosen = {key: value for key, _, value in (word.partition("=") for word in rest) if key in groups()}
    return verb_help(verb, f"{VERBS[verb][0].upper()}{VERBS[verb][1:]}", chosen)


def help_text() -> str:
    """Return the overview of commands, choices and option values."""
    from mfer_lightning.config.help import terminal_width, wrapped

    lines = ["Usage: mfer [command] [option=value ...]    (or: python -m mfer_lightning)", "", "Commands:"]
    width, columns = max(len(name) for name in (*VERBS, *groups())), min(terminal_width(), 100)
    for verb, text in VERBS.items():
        lines += wrapped(f"  {verb:<{width}} ", text, columns)
    lines += ["", "Choices (option=one of):"]
    for group in groups():
        names = ", ".join(choices(group))
        if names:
            lines += wrapped(f"  {group:<{width}} ", names, columns)
    lines += [
        "",
        *wrapped(
            "", "You can also set individual options: optimizer.lr=1e-3 backbone.name=<timm model> seed=1", columns
        ),
        "",
        "  COMMAND --help    all options of a command, with their defaults",
        "  -m, --multirun    sweep over comma-separated values: -m loss=ce,lgm seed=0,1,2",
        "  --config-dir DIR  add your own choices; for classes: plugins=[my_lab]",
        "  --config-name X   start from X.yaml in that folder (docs/training.md)",
        "  --cfg job         print the composed configuration and stop",
        "  -sc install=bash  completion of commands, options and choices; also zsh, fish",
        "  --version         print the version",
        "",
        "Examples:",
        "  mfer                                                synthetic faces",
        "  mfer dataset=affectnet8 loss=dsf trainer=ddp        the paper's network",
        "  mfer experiment=ferplus_small paths.data=/datasets  48 px faces, on a CPU",
    ]
    return "\n".join(lines)
