"""The command line: ``mfer [verb] [overrides]``, the same as ``python -m mfer_lightning``.

Only the verb and the help are handled here, without importing torch or Hydra; the rest is the verb's own module.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from mfer_lightning.config.flags import join_values
from mfer_lightning.config.location import choices, groups, use_config_dirs
from mfer_lightning.errors import UserError, nearest

#: Verb -> what it does; each is a module of :mod:`mfer_lightning.commands` with a function ``main(arguments) -> int``.
VERBS = {
    "train": "train a network on a dataset, test it with the best checkpoint (the default verb)",
    "align": "find the faces in photos and put them on a named template",
    "data": "examine a copy of a dataset: counts, damage, duplicates, leakage, class order",
    "evaluate": "measure a checkpoint on any dataset and split; its robustness; where it looks",
    "predict": "find the faces in photos, a video or a camera's pictures, and say their emotions",
    "report": "tables, figures and verdicts from finished runs: which differences are real",
    "export": "write a trained model for others: Hugging Face layout with safetensors, or ONNX",
    "demo": "serve a local web page on which a trained model looks at photos",
    "benchmark": "measure how fast training and inference are here, against a plain baseline",
    "dashboard": "build the ablation workspaces and report at W&B from finished runs",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 failed jobs in a sweep, 2 a mistake of the user's.

    Args:
        arguments: the command line without the program's name; None: ``sys.argv``.
    """
    try:
        code = _run(list(sys.argv[1:] if arguments is None else arguments))
    except UserError as error:
        if os.environ.get("MFER_FULL_ERROR", os.environ.get("HYDRA_FULL_ERROR", "")) == "1":
            raise
        print(f"Error: {error}", file=sys.stderr)
        code = 2
    except BrokenPipeError:  # who was reading has read enough: `mfer ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except KeyboardInterrupt:
        print("Stopped. The same command continues an unfinished run.", file=sys.stderr)
        code = 130
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    verb, rest = split_verb(arguments)
    rest = join_values(rest)
    use_config_dirs(rest)
    if any(a in ("-h", "--help") for a in rest):
        print(help_text())
        return 0
    if "--version" in rest:
        from mfer_lightning.version import __version__

        print(f"mfer_lightning {__version__}")
        return 0
    module = importlib.import_module(f"mfer_lightning.commands.{verb}")
    code: int = module.main(rest)
    return code


def split_verb(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """Split the verb from its arguments.

    Args:
        arguments: the command line without the program's name.

    Returns:
        The verb (``"train"`` where none is given) and the remaining arguments.

    Raises:
        UserError: for a first word that is not a verb.

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
                f"`{arguments[0]}` is not a verb: {hint}{'' if hint.endswith('?') else '.'} "
                "Options are written key=value, without spaces. See mfer --help."
            )
        return arguments[0], list(arguments[1:])
    return "train", list(arguments)


def help_text() -> str:
    """Say what can be asked for: verbs, choices and where the values are."""
    lines = ["Usage: mfer [verb] [option=value ...]        (the same as python -m mfer_lightning)", "", "Verbs:"]
    width = max(len(name) for name in (*VERBS, *groups()))
    lines += [f"  {verb:<{width}} {text}" for verb, text in VERBS.items()]
    lines += ["", "Choices (option=one of):"]
    for group in groups():
        names = ", ".join(choices(group))
        if names:
            lines += _wrapped(f"  {group:<{width}} ", names)
    lines += [
        "",
        "Any value of any of them: optimizer.lr=1e-3 trainer.max_epochs=20 backbone.name=<timm model> seed=1",
        "",
        "  -m, --multirun    sweep over comma-separated values: -m loss=ce,lgm,dsf seed=0,1,2",
        "  --config-dir DIR  add choices of your own; plugins=[my_lab]: and classes (docs/extending.md)",
        "  --cfg job         print the composed configuration and stop (--resolve: with values filled in)",
        "  --version         print the version",
        "",
        "Examples:",
        "  mfer                                               synthetic faces, nothing to download, minutes",
        "  mfer dataset=affectnet8 loss=dsf trainer=ddp       the paper's network on AffectNet",
        "  mfer experiment=ferplus_small paths.data=/datasets FERPlus from scratch on a CPU",
    ]
    return "\n".join(lines)


def _wrapped(head: str, text: str) -> list[str]:
    import textwrap

    return textwrap.wrap(text, 100, initial_indent=head, subsequent_indent=" " * len(head), break_on_hyphens=False)
