"""Name runs and sweeps, and select their folders.

The name of a run consists of dataset, backbone, attention, loss, seed and a short hash of its resolved configuration,
without options that do not affect its result (file locations, loggers, hardware). The same command therefore finds its
run again.
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
from mfer_lightning.files import write_error

#: Maximum length of ``name=`` in bytes. It is a folder name, and part of other folder names.
LONGEST_NAME = 120

#: Options that are not part of a run's identity, by dotted name; a whole node or one value.
IRRELEVANT = (
    CHOICES,  # only the names of choices; their options are hashed
    "paths",
    "logger",
    "name",
    "resume",
    "report",
    "plugins",  # their classes are named by _target_, their backbones by backbone.name
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

#: Options added after the first runs, with the value that is equivalent to their absence.
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
    """Hash a resolved configuration, without options that do not affect a run's result.

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
    if "root" in dataset:  # the location of the data folder is ignored, but not the dataset in it
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
    """Return the name of a run.

    Args:
        config: plain resolved configuration of ``mfer train``.

    Returns:
        ``<dataset>-<backbone>-<attention>-<loss>-s<seed>-<hash>``; for networks other than MFER, the network replaces
        backbone and attention.
    """
    network = ("network",) if is_peer(config) else ("backbone", "attention")
    parts = (name_of(config, group) for group in ("dataset", *network, "loss"))
    return "-".join((*parts, f"s{config['seed']}", config_hash(config)))


def names_of_run(config: Mapping[str, Any]) -> tuple[str, str]:
    """Return a run's name, and its name in earlier versions, which did not use names of choices; they may be equal."""
    return run_name(config), run_name({key: value for key, value in config.items() if key != CHOICES})


def name_in(parent: Path, config: Mapping[str, Any]) -> str:
    """Return the name of a run in a folder of runs: a folder started by an earlier version keeps its name."""
    name, former = names_of_run(config)
    return former if (parent / former).is_dir() and not (parent / name).is_dir() else name


def setting_name(config: Mapping[str, Any]) -> str:
    """Return the name of a run's setting, without the seed: runs of one setting differ only in their seed.

    Args:
        config: plain resolved configuration of ``mfer train``.

    Returns:
        Loss, backbone, attention, the training method unless it is the baseline, and four hexadecimal digits for
        everything else.
    """
    parts = [name_of(config, group) for group in ("loss", "backbone", "attention")]
    method = (config.get("method") or {}).get("name", "baseline")
    parts += [] if method == "baseline" else [str(method)]
    return " ".join((*parts, config_hash({**config, "seed": None})[:4]))


def sweep_name(arguments: Sequence[str]) -> str:
    """Name a sweep by its command line, so that the same command finds its sweep again.

    Args:
        arguments: the command-line arguments after the command; their order, flags, file locations, loggers, launchers
            and options of Hydra are ignored.

    Example:
        >>> sweep_name(["-m", "loss=ce,dsf", "seed=0"]) == sweep_name(["seed=0", "loss=ce,dsf", "--multirun"])
        True
    """
    ignored = ("-", "paths.", "logger", "hydra", "launcher=")
    relevant = sorted(a for a in arguments if not a.lstrip("+").startswith(ignored))
    return f"sweep-{hashlib.sha256(json.dumps(relevant).encode()).hexdigest()[:8]}"


def check_name(name: str | None) -> None:
    """Reject a ``name=`` that is not the name of a single folder.

    Args:
        name: the given name, or None.

    Raises:
        UserError: for a name outside the folder of runs, or not portable to other systems.
    """
    if name is None or (re.fullmatch(r"[\w][\w .+=@-]*", name) and len(name.encode()) <= LONGEST_NAME):
        return
    raise UserError(
        f"name={name}: the value must be the name of a single folder in paths.runs, without / or '..'. Use letters, "
        f"digits, spaces and _ - . + = @, start with a letter, a digit or _, and use at most {LONGEST_NAME} bytes."
    )


def make_writable(folder: Path, what: str) -> None:
    """Create a folder and check that it is writable.

    Args:
        folder: created with its parents if it is missing.
        what: description of the folder in messages, e.g. ``"run folder"``.

    Raises:
        UserError: if it is not writable.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        otherwise = "choose another folder with paths.runs=<folder>"
        raise write_error(f"write to the {what} {folder}", error, otherwise) from error


def is_finished(folder: Path) -> bool:
    """Whether a run folder contains a finished run: ``result.json`` is written last."""
    return (folder / "result.json").is_file()


def next_run_dir(parent: Path, name: str, *, fresh: bool = False) -> Path:
    """Return the folder of the unfinished run with this name, or of a new run if there is none or ``fresh`` is set."""
    folder, n = parent / name, 1
    while folder.exists() and (is_finished(folder) or fresh):
        n += 1
        folder = parent / f"{name}.{n}"
    return folder


def is_run_of(folder: Path, name: str) -> bool:
    """Whether a folder belongs to a run with this name, or to a repetition of it (``name.2``)."""
    return re.fullmatch(re.escape(name) + r"(\.\d+)?", folder.name) is not None


def claim_run_dir(parent: Path, name: str, *, resume: str, in_sweep: bool) -> Path:
    """Select and create the folder of a run.

    Args:
        parent: folder of runs.
        name: the run's name.
        resume: ``"auto"`` to continue an unfinished run with this name, ``"never"`` to start a new one.
        in_sweep: a sweep always uses the one folder with the name, finished or not; a single run never changes a
            finished run, but starts a new one (``name.2``, ``name.3``, ...).

    Returns:
        The folder, which exists.

    Raises:
        UserError: for an illegal ``resume``, or if the folder is not writable.
    """
    if resume not in ("auto", "never"):
        raise UserError(
            f"resume={resume}: the value must be auto (continue an unfinished run) or never (start a new one)."
        )
    folder = parent / name if in_sweep else next_run_dir(parent, name, fresh=resume == "never")
    make_writable(folder, "run folder")
    return folder
