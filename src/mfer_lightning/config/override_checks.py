"""Reject overrides that Hydra accepts but that would have a different effect here, or no effect."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mfer_lightning.config.location import groups
from mfer_lightning.config.options import takes_several
from mfer_lightning.config.usual_names import TRAIN
from mfer_lightning.errors import UserError

_PLACE = (
    "the folder of a run is named after its configuration, so that the same command finds it again. Use "
    "paths.runs=<folder> for the folder of all runs, and name=<folder> for a subfolder"
)
_LOG = "the log of a run is log.txt in its folder; hydra.verbose=true adds detail"

#: Option of Hydra -> why it is not supported, and what to use instead. Other options work as in Hydra, except that
#: only ``mfer train`` accepts ``hydra.sweep.dir``.
REPLACED = {
    "hydra.run": _PLACE,
    "hydra.sweep.subdir": _PLACE,
    "hydra.output_subdir": "config.yaml in the folder of a run contains the configuration, and result.json the result",
    "hydra.job.chdir": "the working directory stays the same, so that relative paths mean the same in every command",
    "hydra/job_logging": _LOG,
    "hydra.job_logging": _LOG,
}

#: Accepted values of these options, which have no effect. Lightning starts the other ranks with ``hydra.run.dir="."``.
_HARMLESS = ("null", "false", "none", "disabled", ".")

#: Recipes that can be combined, each applied on top of the previous one.
_STACKED = ("experiment", "debug")


def check_overrides(overrides: Sequence[str], verb: str) -> None:
    """Reject options of Hydra that this package replaces, lists where one choice is expected, and common wrong names.

    Args:
        overrides: ``key=value``.
        verb: name of the command.

    Raises:
        UserError: if an override is rejected; the message says what to use instead.

    Example:
        >>> check_overrides(["hydra.job.chdir=false", "hydra.verbose=true", "loss=dsf"], "train")
    """
    for override in overrides:
        key, _, value = override.lstrip("+").partition("=")
        name = next((n for n in REPLACED if key == n or key.startswith(f"{n}.")), None)
        if verb != "train" and (key == "hydra.sweep.dir" or name in ("hydra.run", "hydra.sweep.subdir")):
            raise UserError(f"{override} is not supported: mfer {verb} has separate options for its files.")
        if name is not None and value.strip(" \"'").lower() not in _HARMLESS:
            raise UserError(f"{override} is not supported: {REPLACED[name]}.")
        if verb == "train":
            _check_single(key, value)
            node, _, leaf = key.partition(".")
            if TRAIN.get(leaf, "").startswith(f"{node}."):  # free-form nodes would accept the wrong name
                raise UserError(f"There is no option `{key}`: did you mean {TRAIN[leaf]}={value}?")


def _check_single(group: str, value: str) -> None:
    written = re.sub(r"\(.*\)", "", value)  # glob([a*, b*]) and similar are Hydra's own lists of choices
    if "[" not in written or group not in groups() or group in _STACKED or takes_several(group):
        return
    names = [name for part in written.split(",") if (name := part.strip(" []"))]
    each = f". To run each of them: -m {group}={','.join(names)}" if len(names) > 1 else ""
    raise UserError(
        f"{group}={value}: {group} takes one choice, without brackets: {group}={names[0] if names else '...'}{each}"
    )
