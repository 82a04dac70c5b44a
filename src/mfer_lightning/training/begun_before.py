"""Resume runs of earlier versions with the values used before newer options existed, if the defaults differ.

The name of a run depends on its option values, so the same command gives different run names in the earlier version
and in this one, and the two runs never share a folder. An unfinished run under the earlier name, and a sweep with runs
of an earlier version, continue with their original values, unless the command line sets one of the options or
``resume=never``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mfer_lightning.config.caller import is_given
from mfer_lightning.config.former_values import FORMER_ATTENTION
from mfer_lightning.sweeps.identity import is_run_of, name_in, names_of_run, next_run_dir, run_name

Config = dict[str, Any]


def config_begun_before(config: Config, parent: Path, in_sweep: bool) -> Config | None:
    """Return the earlier version's configuration if that version started this run or sweep, otherwise None.

    Args:
        config: plain resolved configuration, as composed by this version.
        parent: parent folder of the run folder.
        in_sweep: whether this is a job of a sweep; all its runs must have the same values.
    """
    former = _former(config)
    if former is None or config["resume"] == "never" or any(is_given(f"attention.{name}") for name in FORMER_ATTENTION):
        return None
    if in_sweep:
        return former if any(_is_former(path) for path in parent.glob("*/config.yaml")) else None
    began, today = (_was_trained(next_run_dir(parent, name_in(parent, c))) for c in (former, config))
    return former if began and not today else None


def config_of(run_dir: Path, config: Config) -> Config:
    """Return the configuration with which a run folder was started: that of this version or of an earlier version.

    Every process of a run calls this with the folder chosen by the first process.
    """
    former = _former(config)
    if former is None or not any(is_run_of(run_dir, name) for name in names_of_run(former)):
        return config
    return former


def note_on_former_values(config: Mapping[str, Any]) -> str | None:
    """Return a note that a run continues with the values of an earlier version; None if it uses this version's."""
    attention = config["attention"]
    missing = [name for name in FORMER_ATTENTION if name not in attention]
    if attention.get("name") == "none" or not missing:
        return None
    values = " ".join(f"attention.{name}={FORMER_ATTENTION[name]}" for name in missing)
    return (
        f"This run or sweep was started by an earlier version with {values}, and continues with these values. To use "
        "the current defaults, start a new run with resume=never, or a new sweep with another name=..."
    )


def _former(config: Config) -> Config | None:
    """Return the configuration as composed by an earlier version; None if it gives the same run."""
    attention = {name: value for name, value in config["attention"].items() if name not in FORMER_ATTENTION}
    former = {**config, "attention": attention}
    return former if run_name(former) != run_name(config) else None


def _was_trained(folder: Path) -> bool:
    return (folder / "checkpoints" / "last.ckpt").is_file()


def _is_former(path: Path) -> bool:
    """Whether a run's configuration lacks the newer options; finds the node without parsing the whole YAML file."""
    node = re.search(r"^attention:\n((?:  .*\n)+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    return node is not None and not re.search(r"^  (name: none|norm_eps: .*)$", node[1], re.MULTILINE)
