"""Name runs and sweeps, and choose their folders.

A run is named by what it is: dataset, backbone, loss, seed and a short hash of its resolved configuration, without what
does not change its result (where files are, loggers, hardware). So the same command finds its run again.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mfer_lightning.config.augment_forms import first_form
from mfer_lightning.config.chosen import CHOICES, is_peer, name_of
from mfer_lightning.config.former_names import with_first_names
from mfer_lightning.config.former_values import FORMER_ATTENTION
from mfer_lightning.errors import UserError

#: Bytes of a ``name=``, which is a folder's name and part of those of others.
LONGEST_NAME = 120

#: What does not belong to a run's identity. Dotted names; a whole node or one value.
IRRELEVANT = (
    CHOICES,  # names of parts
    "paths",
    "logger",
    "name",
    "resume",
    "report",
    "plugins",  # the classes that they add are named by _target_, their backbones by backbone.name
    "trainer.accelerator",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.strategy",
    "trainer.profiler",
    "trainer.checkpointing",
    "trainer.num_sanity_val_steps",
    "trainer.log_every_n_steps",
    "trainer.enable_progress_bar",
    "trainer.enable_model_summary",
    "trainer.enable_autolog_hparams",
    "trainer.inference_mode",
    "trainer.detect_anomaly",
    "trainer.reload_dataloaders_every_n_epochs",
    "loader.num_workers",
    "loader.pin_memory",
    "loader.eval_batch_size",
    "evaluation.embedding_points",
)

#: Options that came after the first runs, with the value under which a run is what it was without them.
LATER: Mapping[str, Any] = {
    "evaluation.shift": 0.0,
    "scheduler.warmup_steps": None,
    "callbacks": {},
    "metrics": {},
    "monitor": None,
    "trainer.min_epochs": None,
    "trainer.max_steps": -1,
    "trainer.min_steps": None,
    "trainer.max_time": None,
    "trainer.val_check_interval": None,
    "trainer.check_val_every_n_epoch": 1,
    "trainer.gradient_clip_algorithm": None,
    "trainer.benchmark": None,
    "trainer.sync_batchnorm": False,
    "preprocess.colour": None,
    "dataset.table": None,
    "dataset.columns": None,
    "dataset.class_names": None,
    "dataset.trust_labels": False,
    "dataset.relabel": None,
    "dataset.exclude": None,
    "dataset.hold_out": None,
    **{f"attention.{name}": value for name, value in FORMER_ATTENTION.items()},
    "backbone.pool": None,
    "backbone.stage_blocks": None,
    "adapter": {"name": "none"},
    "valence_arousal": {"name": "none", "loss": None, "weight": 1.0},
    "network": {"name": "mfer"},
    "loss.terms": {},
    "method": {"name": "baseline", "_target_": "mfer_lightning.methods.Baseline"},
}


def config_hash(config: Mapping[str, Any]) -> str:
    """Hash a resolved configuration, without what does not change a run's result.

    Args:
        config: plain nested mapping.

    Returns:
        Eight hexadecimal digits.

    Example:
        >>> a = {"seed": 0, "paths": {"runs": "here"}}
        >>> config_hash(a) == config_hash({"paths": {"runs": "there"}, "seed": 0})
        True
        >>> config_hash(a) == config_hash({**a, "seed": 1})
        False
    """
    relevant = json.loads(json.dumps(with_first_names({**config, **_first_augment(config)})))
    dataset = relevant.get("dataset") or {}
    if "root" in dataset:  # where the data folder is does not matter; which dataset in it does
        dataset["root"] = str(dataset["root"]).removeprefix(str(relevant.get("paths", {}).get("data", "")))
    for dotted in (*IRRELEVANT, *LATER):
        *parents, leaf = dotted.split(".")
        node = relevant
        for parent in parents:
            node = node.get(parent) or {}
        if dotted not in LATER or node.get(leaf) == LATER[dotted]:
            node.pop(leaf, None)
    return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()[:8]


def _first_augment(config: Mapping[str, Any]) -> dict[str, Any]:
    return {"augment": first_form(config["augment"])} if "augment" in config else {}


def run_name(config: Mapping[str, Any]) -> str:
    """Name a run by what it is.

    Args:
        config: plain resolved configuration of ``mfer train``.

    Returns:
        ``<dataset>-<backbone>-<attention>-<loss>-s<seed>-<hash>``, with the network in place of backbone and attention
        where it is another than MFER.
    """
    network = ("network",) if is_peer(config) else ("backbone", "attention")
    parts = (name_of(config, group) for group in ("dataset", *network, "loss"))
    return "-".join((*parts, f"s{config['seed']}", config_hash(config)))


def names_of_run(config: Mapping[str, Any]) -> tuple[str, str]:
    """Give a run's name, and the one that earlier versions gave it, which knew no choices' names; they may be equal."""
    return run_name(config), run_name({key: value for key, value in config.items() if key != CHOICES})


def name_in(parent: Path, config: Mapping[str, Any]) -> str:
    """Choose the name of a run in a folder of runs: a folder that an earlier version began keeps its name."""
    name, former = names_of_run(config)
    return former if (parent / former).is_dir() and not (parent / name).is_dir() else name


def setting_name(config: Mapping[str, Any]) -> str:
    """Name what a run is without its seed: runs of one setting differ in their seed alone.

    Args:
        config: plain resolved configuration of ``mfer train``.

    Returns:
        Loss, backbone, attention and, where it is not the baseline, the training method by name, and four hexadecimal
        digits for everything else.
    """
    parts = [name_of(config, group) for group in ("loss", "backbone", "attention")]
    method = (config.get("method") or {}).get("name", "baseline")
    parts += [] if method == "baseline" else [str(method)]
    return " ".join((*parts, config_hash({**config, "seed": None})[:4]))


def sweep_name(arguments: Sequence[str]) -> str:
    """Name a sweep by its command line, so that the same command finds its sweep again.

    Args:
        arguments: the command line after the verb; its order, where files are and where jobs run do not matter.

    Example:
        >>> sweep_name(["-m", "loss=ce,dsf", "seed=0"]) == sweep_name(["seed=0", "loss=ce,dsf", "--multirun"])
        True
    """
    relevant = sorted(a for a in arguments if not a.startswith(("-", "paths.", "logger", "hydra", "launcher=")))
    return f"sweep-{hashlib.sha256(json.dumps(relevant).encode()).hexdigest()[:8]}"


def check_name(name: str | None) -> None:
    """Reject a ``name=`` that is not the name of one folder.

    Args:
        name: as given; None if none is.

    Raises:
        UserError: for what would leave the folder of runs, or be another folder on another system.
    """
    if name is None or (re.fullmatch(r"[\w][\w .+=@-]*", name) and len(name.encode()) <= LONGEST_NAME):
        return
    raise UserError(
        f"name={name}: the name is that of one folder in paths.runs, without / or '..': letters, digits, spaces and "
        f"_ - . + = @, the first a letter, a digit or _, at most {LONGEST_NAME} bytes."
    )


def make_writable(folder: Path, what: str) -> None:
    """Make a folder, and try whether a file can be written into it.

    Args:
        folder: made where it is missing, with those above it.
        what: what to call it in the message, e.g. ``"run folder"``.

    Raises:
        UserError: if it cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"Cannot write to the {what} {folder}: {error.strerror or error}. "
            "Choose another place with paths.runs=<folder>."
        ) from error


def is_finished(folder: Path) -> bool:
    """Whether a run folder holds a finished run: its ``result.json`` is the last file written."""
    return (folder / "result.json").is_file()


def next_run_dir(parent: Path, name: str, *, fresh: bool = False) -> Path:
    """Return the folder of the unfinished run of a name, which may not exist yet, or with ``fresh`` of a new one."""
    folder, n = parent / name, 1
    while folder.exists() and (is_finished(folder) or fresh):
        n += 1
        folder = parent / f"{name}.{n}"
    return folder


def is_run_of(folder: Path, name: str) -> bool:
    """Whether a folder is that of a run of this name, or of one beside it (``name.2``)."""
    return re.fullmatch(re.escape(name) + r"(\.\d+)?", folder.name) is not None


def claim_run_dir(parent: Path, name: str, *, resume: str, in_sweep: bool) -> Path:
    """Choose and make the folder of a run.

    Args:
        parent: folder of runs.
        name: the run's name.
        resume: ``"auto"`` to continue an unfinished run of this name, ``"never"`` to start a fresh one beside it.
        in_sweep: a sweep stays with the one folder of the name, finished or not; a single run never touches a finished
            run, but starts a fresh one beside it (``name.2``, ``name.3``, ...).

    Returns:
        The folder, which exists.

    Raises:
        UserError: for an illegal ``resume``, or where the folder cannot be written to.
    """
    if resume not in ("auto", "never"):
        raise UserError(f"resume={resume}: legal are auto (continue an unfinished run) and never (start a fresh one).")
    folder = parent / name if in_sweep else next_run_dir(parent, name, fresh=resume == "never")
    make_writable(folder, "run folder")
    return folder
