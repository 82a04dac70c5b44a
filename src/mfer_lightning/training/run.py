"""Train one network and test it, in a run folder from which an interrupted run can be resumed."""

from __future__ import annotations

import json
import logging
import os
import shutil
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch
import yaml
from hydra.core.hydra_config import HydraConfig
from lightning.fabric.utilities.exceptions import MisconfigurationException

from mfer_lightning.align.stored_alignment import describe_alignment
from mfer_lightning.callbacks import History, TrainingDivergedError
from mfer_lightning.callbacks.interruption import NAME as INTERRUPTED
from mfer_lightning.config.plugins import plugins_loaded
from mfer_lightning.data.augment.build import describe_augment
from mfer_lightning.data.datasets.registry import dataset_info
from mfer_lightning.data.images.cache import available_cpus
from mfer_lightning.errors import TrialPrunedError, UserError
from mfer_lightning.files import remove_leftovers, write_text
from mfer_lightning.memory import keep_freed_memory
from mfer_lightning.reporting.terminal.training_start import print_start
from mfer_lightning.sweeps.identity import claim_run_dir, is_finished, is_run_of, name_in, names_of_run
from mfer_lightning.sweeps.lock import run_lock
from mfer_lightning.sweeps.ranks import decide_together, is_first_rank
from mfer_lightning.sweeps.records import read_records
from mfer_lightning.termination import one_line_on_sigterm
from mfer_lightning.tracking.open_loggers import tracked
from mfer_lightning.tracking.provenance import PATCH, git_state
from mfer_lightning.training.begun_before import config_begun_before, config_of, note_on_former_values
from mfer_lightning.training.build import build_datamodule, build_module
from mfer_lightning.training.build_trainer import build_trainer, precision
from mfer_lightning.training.checks import check_config
from mfer_lightning.training.checks.combinations import idle_options
from mfer_lightning.training.checks.trial_build import build_on_trial, gflops_of, relative_cost
from mfer_lightning.training.disk_space import check_space
from mfer_lightning.training.finalize import finish
from mfer_lightning.training.further_metrics import check_direction, selecting_monitor
from mfer_lightning.training.length import check_length, planned_epochs
from mfer_lightning.training.lightning_errors import explained
from mfer_lightning.training.log_file import logged_to
from mfer_lightning.training.publish_results import run_facts
from mfer_lightning.training.resume import Resumption, mixed_arithmetic, resumption
from mfer_lightning.training.stop_ranks import stop_ranks
from mfer_lightning.training.teachers import check_teachers, teacher_records
from mfer_lightning.training.time_estimate import note_on_duration, note_on_time
from mfer_lightning.training.watch_ranks import lost_rank, ranks_watched
from mfer_lightning.views import Views

#: Environment variable with the run folder, set by the first process of a distributed run for the others, which must
#: not choose their own folder.
RUN_DIR = "MFER_RUN_DIR"

log = logging.getLogger("mfer_lightning")


def train(config: dict[str, Any], parent: Path, in_sweep: bool) -> tuple[float | None, Path, bool]:
    """Train one network and test it.

    Args:
        config: plain resolved configuration.
        parent: parent folder of the run folder.
        in_sweep: whether this is a job of a sweep, which skips a finished run instead of starting a new one.

    Returns:
        The value of the selection metric (None if there is none, or on ranks above 0), the run's folder, and whether
        anything was run.

    Raises:
        UserError: for errors that the user can correct.
    """
    with ExitStack() as held:
        held.enter_context(one_line_on_sigterm())
        held.enter_context(ranks_watched())
        held.enter_context(plugins_loaded(config["plugins"]))
        check_config(config)
        inherited = os.environ.get(RUN_DIR)
        leads = not inherited and is_first_rank()
        made_parent = not parent.exists()

        def choose() -> str:
            chosen = config_begun_before(config, parent, in_sweep) or config
            name = name_in(parent, chosen)
            folder = claim_run_dir(parent, name, resume=config["resume"], in_sweep=in_sweep)
            if in_sweep:
                _refuse_a_second_job(parent, folder)
            elif folder.name != name:
                why = "resume=never" if config["resume"] == "never" else f"{parent / name} is finished"
                print(f"Note: {why}, so the run folder is {folder}.", flush=True)
            if not (in_sweep and is_finished(folder)):
                held.enter_context(run_lock(folder))
                remove_leftovers(folder)
            return str(folder)

        run_dir = Path(inherited or decide_together(choose))
        config = config_of(run_dir, config)
        if in_sweep and not inherited and is_finished(run_dir):
            print(f"Already finished: {run_dir}", flush=True)
            return _score(run_dir), run_dir, False
        os.environ[RUN_DIR] = str(run_dir)
        try:
            with logged_to(run_dir / "log.txt"):
                _check_same_run(names_of_run(config), run_dir)
                if leads and (note := note_on_former_values(config)) is not None:
                    print(f"Note: {note}", flush=True)
                if not inherited:
                    decide_together(partial(_build_on_trial, config))
                return _train(config, run_dir), run_dir, True
        except (TrainingDivergedError, TrialPrunedError):  # keep the log as evidence
            if not leads:
                raise SystemExit(0) from None  # all ranks stop with this error, and the first rank reports it
            raise
        except UserError:
            if leads and not in_sweep:
                _remove_if_nothing_was_trained(run_dir, parent if made_parent else None)
            raise
        finally:
            if not inherited:
                os.environ.pop(RUN_DIR, None)


def _build_on_trial(config: dict[str, Any]) -> str:
    """Adapt :func:`build_on_trial` to ``decide_together``, so that its error is raised on all ranks."""
    build_on_trial(config)
    return ""


def _train(config: dict[str, Any], run_dir: Path) -> float | None:
    keep_freed_memory()
    torch.set_flush_denormal(True)  # denormal numbers make a CPU several times slower, without any benefit
    L.seed_everything(config["seed"], workers=True, verbose=False)
    datamodule = build_datamodule(config)
    datamodule.prepare_data()
    datamodule.setup("fit")
    protocol = datamodule.protocol
    last = run_dir / "checkpoints" / "last.ckpt"
    options = config["trainer"]
    shorter = check_length(config, len(datamodule.splits.train))
    epochs = planned_epochs(config, len(datamodule.splits.train))
    resume = (
        resumption(last, datamodule.data_hash, options["max_epochs"], options["max_steps"])
        if config["resume"] == "auto"
        else Resumption()
    )
    now = precision(config["trainer"])
    arithmetic = resume.with_precision(now)
    teachers = teacher_records(config)
    if resume.checkpoint is not None and not resume.ended:
        check_teachers(resume.teachers, teachers, run_dir)
    metadata = {
        "dataset": config["dataset"]["name"],
        "protocol": protocol.name,
        "data_hash": datamodule.data_hash,
        "split_hashes": datamodule.split_hashes(),
        "alignment": describe_alignment(
            datamodule.alignment,
            config["dataset"]["name"],
            config["dataset"].get("size"),
            dataset_info(datamodule.dataset).template,
        ),
        "git": git_state(run_dir),  # read now, because the checkout may change during training
        "config": config,
        "precision": arithmetic,
        "augmentation": describe_augment(datamodule.augment),
        **Views.of_metadata(config["evaluation"]).to_config(),
        **({"teachers": teachers} if teachers else {}),
    }
    module = build_module(config, datamodule, metadata)
    history = History(run_dir / "metrics.csv")
    monitor, modes = selecting_monitor(config, protocol), module.modes()
    trainer = build_trainer(config, run_dir, monitor, history, modes)
    if monitor is not None:
        check_direction(monitor, modes[monitor])
    size = int(config["preprocess"]["size"] or datamodule.size or 224)
    gflops = gflops_of(module.network, size)
    if trainer.is_global_zero:
        check_space(config, run_dir, module, datamodule)
        notes = [*idle_options(config), *filter(None, [shorter])]
        whole = config["trainer"]["limit_train_batches"] is None and not config["trainer"]["fast_dev_run"]
        if whole and trainer.strategy.root_device.type == "cpu":
            cores = min(torch.get_num_threads() * trainer.num_devices, available_cpus())
            faces = len(datamodule.splits.train) // trainer.num_nodes
            cost = gflops * relative_cost(module.method, gflops, size)
            notes += filter(None, [note_on_duration(config, cost, faces, epochs - resume.epochs, cores, now)])
        for note in notes:
            print(f"Note: {note}.", flush=True)
        if (mixed := mixed_arithmetic(arithmetic)) is not None:
            print(f"Note: {mixed}", flush=True)
        write_text(run_dir / "config.yaml", yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
        if datamodule.noise_manifest is not None:
            datamodule.noise_manifest.write(run_dir / "label_noise.json")
        resumed = resume.checkpoint is not None
        print_start(config, datamodule, module, run_dir, now, size, gflops, resumed=resumed)
    try:
        with tracked(trainer.loggers, run_facts(config, datamodule, module, gflops)):
            trainer.fit(module, datamodule=datamodule, ckpt_path=resume.checkpoint, weights_only=True)
            if config["trainer"]["fast_dev_run"]:
                if trainer.is_global_zero:  # these runs write no checkpoint to evaluate
                    shutil.rmtree(run_dir)
                    one = options["fast_dev_run"] in (True, 1)
                    what = (
                        "One training batch and one validation batch were"
                        if one
                        else "Training and validation batches were"
                    )
                    print(f"{what} processed. Nothing was kept.", flush=True)
                return None
            datamodule.notes = (*datamodule.notes, *filter(None, [note_on_time(trainer)]))
            (run_dir / "checkpoints" / INTERRUPTED).unlink(missing_ok=True)  # the run has continued past it
            return finish(config, run_dir, trainer, module, datamodule, history, gflops)
    except SystemExit as stop:  # raised by Lightning for Ctrl-C
        if trainer.interrupted and stop.code == 1:
            raise KeyboardInterrupt from stop
        stop_ranks(trainer)
        raise
    except torch.OutOfMemoryError as error:
        stop_ranks(trainer)
        raise UserError(
            f"Out of memory with loader.batch_size={config['loader']['batch_size']}. Use half the batch size "
            "and trainer.accumulate_grad_batches=2 (the same number of faces per step), a smaller preprocess.size, "
            "or a smaller backbone."
        ) from error
    except MisconfigurationException as error:
        stop_ranks(trainer)
        raise UserError(f"trainer: {error}") from error
    except Exception as error:
        said = lost_rank(trainer) or explained(error)
        stop_ranks(trainer)
        if said is not None:
            raise UserError(said) from error
        raise


def _check_same_run(names: tuple[str, str], run_dir: Path) -> None:
    """Log what this process will train, and stop if it differs from what the first process of the run trains."""
    rank = next((os.environ[n] for n in ("RANK", "LOCAL_RANK", "SLURM_PROCID") if n in os.environ), "0")
    log.info("process %d, rank %s: %s", os.getpid(), rank, names[0])
    if not any(is_run_of(run_dir, name) for name in names):
        raise RuntimeError(f"Rank {rank} was started to train {names[0]}, but the first rank trains {run_dir.name}.")


def _refuse_a_second_job(sweep_dir: Path, run_dir: Path) -> None:
    """Reject a job with the same run as an earlier job but other overrides. An identical job is skipped."""
    mine = tuple(HydraConfig.get().overrides.task)
    for record in read_records(sweep_dir):
        if record.run_dir == str(run_dir) and record.has_result and record.overrides != mine:
            raise UserError(
                f"This job and job {record.number} of the sweep ({' '.join(record.overrides)}) are the same run, "
                f"{run_dir.name}, because file locations, loggers and hardware do not distinguish runs. Vary something "
                "else, or start two sweeps with different name=..."
            )


def _remove_if_nothing_was_trained(run_dir: Path, parent: Path | None) -> None:
    """Remove the folder of a run that was rejected before its first epoch; anything trained is kept."""
    if run_dir.is_dir() and {f.name for f in run_dir.iterdir()} <= {
        ".lock",
        "log.txt",
        "config.yaml",
        "label_noise.json",
        PATCH,
        "profile",
        "mlflow",
    }:
        shutil.rmtree(run_dir)
        if parent is not None and not any(parent.iterdir()):
            parent.rmdir()


def _score(run_dir: Path) -> float | None:
    value = json.loads((run_dir / "result.json").read_text(encoding="utf-8"))["selection"]["value"]
    return None if value is None else float(value)
