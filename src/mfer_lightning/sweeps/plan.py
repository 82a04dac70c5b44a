"""Plan a sweep: the folder of its runs, the launcher, and whether it can run at all."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from omegaconf import DictConfig, OmegaConf

from mfer_lightning.config.former_names import override_of_today
from mfer_lightning.config.instantiate import described
from mfer_lightning.config.location import config_dir
from mfer_lightning.config.messages import readable
from mfer_lightning.config.path_options import expand, quote_paths
from mfer_lightning.config.plugins import plugins_loaded
from mfer_lightning.config.schema import Train, check_known
from mfer_lightning.errors import UserError, nearest
from mfer_lightning.sweeps.identity import check_name, sweep_name
from mfer_lightning.sweeps.study import Study, build_part

#: Choice -> the module it needs, and the extra that installs it.
EXTRAS = {
    "joblib": ("hydra_plugins.hydra_joblib_launcher", "joblib"),
    "submitit_local": ("hydra_plugins.hydra_submitit_launcher", "slurm"),
    "submitit_slurm": ("hydra_plugins.hydra_submitit_launcher", "slurm"),
    "ray": ("ray", "ray"),
    "optuna": ("optuna.storages.journal", "optuna"),  # a module added in Optuna 4
}
#: Extra -> a Hydra plugin that conflicts with it, because its options have the same names but different types.
_IN_THE_WAY = {"optuna": "hydra_plugins.hydra_optuna_sweeper", "ray": "hydra_plugins.hydra_ray_launcher"}
_GROUPS = ("launcher", "hydra/launcher", "sweep", "hydra/sweeper")


@dataclass(frozen=True)
class Sweep:
    """Facts about a sweep before its first job.

    Args:
        folder: folder of its runs.
        study: study of a search; None for a grid.
    """

    folder: Path
    study: Study | None


def check_extras(overrides: Sequence[str]) -> None:
    """Reject a launcher or sweeper whose package is not installed.

    Raises:
        UserError: if a package is missing, or a conflicting one is installed; the message says what to do.
    """
    for override in overrides:
        group, _, name = override.partition("=")
        module, extra = EXTRAS.get(name, ("", ""))
        if group in _GROUPS and module and not _installed(module):
            raise UserError(f"{override} needs the extra `{extra}`: pip install -U 'mfer_lightning[{extra}]'")
        if group in _GROUPS and extra in _IN_THE_WAY and _installed(_IN_THE_WAY[extra]):
            package = _IN_THE_WAY[extra].rpartition(".")[2].replace("_", "-")
            raise UserError(
                f"{override} conflicts with {package}, which earlier versions needed. Run: pip uninstall {package}"
            )


def _installed(module: str) -> bool:
    try:
        found = importlib.util.find_spec(module)
        return found is not None and found.origin is not None  # a folder of that name has no origin
    except ModuleNotFoundError:  # raised for the parent package
        return False


def register_sweep_dir(arguments: Sequence[str]) -> None:
    """Register the resolver for the folder of this command line's sweep (``mfer.sweep_dir``)."""

    def sweep_dir(*, _root_: DictConfig) -> str:
        return str(Path(expand(_root_.paths.runs)) / (_root_.get("name") or sweep_name(arguments)))

    OmegaConf.register_new_resolver("mfer.sweep_dir", sweep_dir, replace=True)


def plan_sweep(config_name: str, overrides: Sequence[str], config_dirs: Sequence[str] = ()) -> Sweep:
    """Check a sweep before it starts.

    Args:
        config_name: name of the primary configuration file.
        overrides: command-line overrides.
        config_dirs: additional configuration folders (``--config-dir``).

    Raises:
        UserError: if the configuration does not compose, or the sweep cannot run.
    """
    register_sweep_dir(overrides if config_name == "train" else [*overrides, f"config-name={config_name}"])
    _refuse_external_ranks()
    with readable(overrides=overrides):
        written = quote_paths(overrides, several=True)
        parsed = OverridesParser.create().parse_overrides([override_of_today(o) for o in written])
        fixed = [o.input_line or "" for o in parsed if not o.is_sweep_override()]
        first, further = config_dir(), [Path(d).absolute() for d in config_dirs]
        if holder := next((d for d in further if (d / f"{config_name}.yaml").is_file()), None):  # --config-name
            first, further = holder, [config_dir(), *(d for d in further if d != holder)]
        if further:
            fixed.append(f"hydra.searchpath=[{','.join(map(str, further))}]")
        with initialize_config_dir(str(first), version_base="1.3"):
            config = compose(config_name, fixed, return_hydra_config=True)
            own = OmegaConf.to_container(config)
            assert isinstance(own, dict)
            check_known({str(k): v for k, v in own.items() if k != "hydra"}, Train)
            check_name(config.name)
            search = str(config.hydra.sweeper._target_).endswith("OptunaSweeper")
            if search:
                with plugins_loaded(config.plugins):
                    _check_search(config_name, config, fixed, [o for o in parsed if o.is_sweep_override()])
    launcher = config.hydra.launcher
    if config.trainer.fast_dev_run:
        raise UserError("debug=fast_dev_run keeps no results that a sweep could compare. Use debug=smoke.")
    if launcher.get("n_jobs", 1) == 0:
        raise UserError("hydra.launcher.n_jobs=0: the value must be at least 1, or -1 for one job per core.")
    if str(launcher._target_).endswith("LocalLauncher") and launcher.tasks_per_node != 1:
        raise UserError(
            f"hydra.launcher.tasks_per_node={launcher.tasks_per_node}: submitit_local supports only 1, because "
            "its tasks cannot find each other. With trainer=ddp, Lightning starts the other processes of a job."
        )
    study = None
    if search:
        sweeper = config.hydra.sweeper
        direction = _check_numbers(sweeper)
        seed = int(sweeper.sampler.seed or 0) if "seed" in sweeper.sampler else None
        pruner = _checked_parts(sweeper)["pruner"]
        study = Study(sweeper.storage, sweeper.study_name, direction, sweeper.n_trials, seed, pruner)
    return Sweep(Path(expand(config.hydra.sweep.dir)), study)


def _checked_parts(sweeper: Any) -> dict[str, Any]:
    """Build the sampler and the pruner as a check, and return their options by kind; None for one that is not set."""
    nodes: dict[str, Any] = {}
    for kind in ("sampler", "pruner"):
        nodes[kind] = OmegaConf.to_container(sweeper[kind], resolve=True) if sweeper.get(kind) else None
        build_part(nodes[kind], kind, search_space={"x": [0]})
    return nodes


def _check_numbers(sweeper: Any) -> str:
    """Reject illegal numbers in a search, and return its direction."""
    for name, none in (("n_trials", False), ("n_jobs", True)):
        value = sweeper[name]
        if (value is None and none) or (type(value) is int and value >= 1):
            continue
        also = ", or null for as many as the launcher supports" if none else ""
        raise UserError(f"hydra.sweeper.{name}={value}: the value must be a whole number of at least 1{also}.")
    share = sweeper.max_failure_rate
    if type(share) not in (int, float) or not 0 <= share <= 1:
        raise UserError(f"hydra.sweeper.max_failure_rate={share}: the value must be a number from 0 to 1.")
    direction = str(getattr(sweeper.direction, "name", sweeper.direction))
    if direction not in ("maximize", "minimize"):
        raise UserError(f"hydra.sweeper.direction={direction}: the value must be maximize or minimize.")
    return direction


def _check_optimizer(options: Any) -> None:
    from mfer_lightning.optim.optimizers import unknown_options

    with described("optimizer"):
        for name, legal in unknown_options(options).items():
            raise UserError(f"There is no option `optimizer.{name}`: {nearest(name, legal)}")


def _refuse_external_ranks() -> None:
    if int(os.environ.get("WORLD_SIZE", 1)) == 1 and int(os.environ.get("SLURM_NTASKS", 1)) == 1:
        return  # without importing torch
    from mfer_lightning.sweeps.ranks import external_environment

    if external_environment() is not None:
        raise UserError(
            "A sweep starts the processes of its jobs itself. Run it without torchrun or srun, with trainer=ddp. For "
            "jobs on several machines, use launcher=submitit_slurm."
        )


def _check_search(config_name: str, config: DictConfig, fixed: list[str], swept: list[Override]) -> None:
    """Compose the configuration with some values of each option, to find mistakes before the first trial.

    These are all values of a choice, both ends of an interval, and the start of a range.
    """
    taken = {o.partition("=")[0] for o in fixed}
    params = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items() if key not in taken]
    axes = [*OverridesParser.create().parse_overrides(params), *swept]
    if not axes:
        raise UserError(
            "There is nothing to search. Give an option a range, e.g. 'optimizer.lr=tag(log,interval(1e-4,1e-2))'."
        )
    for axis in axes:
        key, value = axis.get_key_element(), axis.value()
        if isinstance(value, ChoiceSweep):
            ends = list(axis.sweep_string_iterator())
        elif isinstance(value, IntervalSweep):
            ends = [str(value.start), str(value.end)]
        elif isinstance(value, RangeSweep):
            ends = [str(value.start)]
        else:
            continue
        for end in ends:
            composed = compose(config_name, [*fixed, f"{key}={end}"])
            if key.startswith("optimizer."):  # a node that accepts the arguments of any optimiser
                _check_optimizer(OmegaConf.to_container(composed.optimizer, resolve=True))
    from mfer_lightning.data.datasets.registry import get_protocol

    dataset = config.dataset
    protocol = get_protocol(dataset.name, dataset.get("protocol"))
    if protocol.takes_last_epoch:
        raise UserError(
            f"{protocol.name} selects nothing on val, so there is no metric to optimise. Choose another "
            "dataset.protocol."
        )
    if protocol.val == "test":
        raise UserError(
            f"{protocol.name} selects on the test set, so a search would fit the options to it. Choose another "
            "dataset.protocol for the search, and train with the best trial's options under this protocol."
        )
