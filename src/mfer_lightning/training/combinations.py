"""Options that are legal each and cannot work together, refused before data are read; and those that do nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from mfer_lightning.config.instantiate import locate
from mfer_lightning.config.loader_workers import most_workers, too_many_workers
from mfer_lightning.data.protocols import PROTOCOLS, get_protocol
from mfer_lightning.data.targets import VOTE_RULES
from mfer_lightning.errors import UserError

Config = Mapping[str, Any]

#: Targets of the datasets whose label files are known before they are read.
_LABELS_ONLY = ("label", "majority")
TARGETS: Mapping[str, tuple[str, ...]] = {
    "rafdb": _LABELS_ONLY,
    "affectnet7": _LABELS_ONLY,
    "affectnet8": _LABELS_ONLY,
    "folder": _LABELS_ONLY,
    "ferplus": VOTE_RULES,
    "facs": ("label", *VOTE_RULES),
}

#: What one row of a training target is; ``probability`` draws one class anew at each visit.
KINDS = dict.fromkeys(("label", "majority", "argmax", "probability"), "one-hot") | {
    "crossentropy": "distribution",
    "votes": "distribution",
    "multi": "multi-hot",
}

#: Set by what starts the processes of several machines.
LAUNCHERS = ("SLURM_JOB_ID", "TORCHELASTIC_RUN_ID", "GROUP_RANK", "NODE_RANK")


def check_combinations(config: Config) -> None:
    """Refuse pairs of options that cannot work together.

    Args:
        config: plain resolved configuration of ``mfer train``, each value legal by itself.

    Raises:
        UserError: naming both options and the way out.
    """
    _check_target(config)
    for parts in (_protocol, _optimizer, _hardware, _freezing):
        for impossible, message in parts(config):
            if impossible:
                raise UserError(message)


def _check_target(config: Config) -> None:
    """Whether the losses can take the training target."""
    dataset, loss = config["dataset"], config["loss"]
    rule = dataset.get("target") or _default_target(dataset)
    legal = TARGETS.get(dataset["name"])
    if legal is not None and rule is not None and rule not in legal:
        raise UserError(
            f"dataset.target={rule}: {dataset['name']} has no such training target. Legal: {', '.join(legal)}."
        )
    kind = KINDS.get(rule, "one-hot") if rule else "one-hot"
    classification = _kind_taken(loss["classification"], "loss.classification")
    feature = _kind_taken(loss["feature"], "loss.feature")
    name = loss["name"]
    if kind == "multi-hot" and classification != "multi-hot":
        raise UserError(
            f"dataset.target=multi names several classes a face, and loss={name} takes one distribution: use "
            "loss=multi_target, or another target such as dataset.target=crossentropy."
        )
    if classification == "multi-hot" and kind != "multi-hot":
        raise UserError(
            f"loss={name} is made for sets of classes, and dataset.target={rule} gives none: add "
            f"dataset.target=multi{'' if legal is None or 'multi' in legal else ' (ferplus, facs)'}, or use loss=ce."
        )
    mixed = config["mixup"]["name"] != "none"
    if classification == "multi-hot" and mixed:
        raise UserError(f"Mixup weighs classes and loss={name} takes sets of them: use mixup=none.")
    if feature == "one-hot" and (mixed or kind != "one-hot"):
        what = f"mixup={config['mixup']['name']}" if mixed else f"dataset.target={rule}"
        raise UserError(
            f"loss={name} takes hard labels only, and {what} makes soft ones: use "
            f"{'mixup=none' if mixed else 'dataset.target=majority'}, or a loss that takes soft targets "
            "(ce, focal, center, lgm, dsf)."
        )


def _kind_taken(node: Any, where: str) -> str:
    if node is None:
        return "distribution"
    if not isinstance(node, Mapping) or "_target_" not in node:
        raise UserError(f"{where}={node}: the value must be a mapping with `_target_`, such as those in conf/loss.")
    return str(getattr(locate(str(node["_target_"]), where), "target_kind", "distribution"))


def _default_target(dataset: Config) -> str | None:
    known = PROTOCOLS.get(f"{dataset['name']}@{dataset.get('protocol')}")
    return None if known is None else known.target


def _protocol(config: Config) -> Iterator[tuple[bool, str]]:
    dataset = config["dataset"]
    named = dataset.get("protocol")
    if named in (None, "auto"):
        return
    protocol = get_protocol(dataset["name"], str(named))
    last = protocol.takes_last_epoch
    said = f"dataset.protocol={named} takes the last epoch and has no validation set"
    yield (
        last and config["early_stopping"]["name"] != "none",
        f"{said}, so there is nothing to stop early by: use early_stopping=none, or another protocol.",
    )
    yield (
        last and bool(config["track_test"]),
        f"{said}, beside which the test set could be tracked: use track_test=false, or another protocol.",
    )


def _optimizer(config: Config) -> Iterator[tuple[bool, str]]:
    optimizer, trainer = config["optimizer"], config["trainer"]
    sam = optimizer["sam_rho"] > 0
    yield (
        sam and trainer["accumulate"] > 1,
        "optimizer=sam needs the whole gradient at each pass: use trainer.accumulate=1.",
    )
    yield (
        sam and trainer["precision"] == "16-mixed",
        "optimizer=sam does not work with float16's loss scaling: use trainer.precision=bf16-mixed.",
    )
    yield (
        bool(optimizer["sam_adaptive"]) and not sam,
        "optimizer.sam_adaptive=true is a variant of SAM: add optimizer=sam, or a radius by optimizer.sam_rho=0.5.",
    )
    loss = config["loss"]
    centred = loss["feature"] and hasattr(locate(str(loss["feature"]["_target_"]), "loss.feature"), "init_centers")
    yield (
        loss["centers_from_data"] and not centred,
        f"loss.centers_from_data=true needs a loss with centres (center, lgm, dsf), and loss={loss['name']} has none.",
    )


def _hardware(config: Config) -> Iterator[tuple[bool, str]]:
    trainer, loader = config["trainer"], config["loader"]
    on_cpu = trainer["accelerator"] == "cpu" or (trainer["accelerator"] == "auto" and not torch.cuda.is_available())
    yield (
        on_cpu and trainer["precision"] == "16-mixed",
        "trainer.precision=16-mixed needs a GPU: on the CPU use bf16-mixed, 32-true or auto.",
    )
    devices, cores = device_count(trainer["devices"]), os.cpu_count() or 1
    yield (
        on_cpu and devices > cores,
        f"trainer.devices={trainer['devices']}: on the CPU each device is a process of its own, and this machine has "
        f"{cores} cores. The value must be at most {cores}.",
    )
    yield loader["num_workers"] > most_workers(), too_many_workers(loader["num_workers"])
    ranks = devices * trainer["num_nodes"]
    yield (
        loader["batch_size"] % max(ranks, 1) != 0,
        f"loader.batch_size={loader['batch_size']} cannot be divided among {ranks} devices: use a multiple of {ranks}, "
        f"e.g. {-(-loader['batch_size'] // max(ranks, 1)) * ranks}.",
    )
    yield (
        trainer["num_nodes"] > 1 and not any(name in os.environ for name in LAUNCHERS),
        f"trainer.num_nodes={trainer['num_nodes']}: somebody must start a process on each machine. Use trainer=slurm "
        "under srun, or torchrun; a single machine has num_nodes=1.",
    )


def _freezing(config: Config) -> Iterator[tuple[bool, str]]:
    freeze, epochs = config["freeze"], config["trainer"]["max_epochs"]
    yield (
        freeze["name"] != "none" and config["weights"] == "none",
        "freeze=backbone would keep a backbone of random weights: give pre-trained ones with weights=imagenet or "
        "weights=<file>.",
    )
    yield (
        freeze["name"] != "none" and (freeze["epochs"] or 0) > epochs,
        f"freeze.epochs={freeze['epochs']}: the run has {epochs} epochs. Use freeze.epochs=null for a backbone that "
        "stays frozen throughout.",
    )


def device_count(devices: Any) -> int:
    """Return how many devices an option asks for, 0 where the machine decides.

    Example:
        >>> [device_count(d) for d in (2, "2", [0, 3], "0,1", "auto", -1)]
        [2, 2, 2, 2, 0, 0]
    """
    if isinstance(devices, list):
        return len(devices)
    text = str(devices)
    if "," in text:
        return len(text.split(","))
    return int(text) if text.isdigit() else 0


def idle_options(config: Config) -> list[str]:
    """Say which options are set and do nothing; they are no error, since a sweep may set them for its other jobs."""
    found = []
    off = {"ema": "decay", "mixup": "prob", "early_stopping": "patience", "freeze": "epochs"}
    defaults: dict[str, Any] = {"decay": 0.999, "prob": 1.0, "patience": 10, "epochs": None}
    for group, option in off.items():
        if config[group]["name"] == "none" and config[group].get(option) not in (None, defaults[option]):
            found.append(f"{group}.{option}={config[group][option]} does nothing with {group}=none")
    optimizer, scheduler = config["optimizer"], config["scheduler"]
    if optimizer.get("momentum") is not None and optimizer["name"] != "sgd":
        found.append(f"optimizer.momentum={optimizer['momentum']} does nothing with {optimizer['name']}: it is sgd's")
    for name, owners in (("gamma", ("exponential", "step")), ("milestones", ("step",)), ("min_lr_ratio", ("cosine",))):
        if scheduler.get(name) is not None and scheduler["name"] not in owners:
            found.append(f"scheduler.{name}={scheduler[name]} does nothing with scheduler={scheduler['name']}")
    loss, early, epochs = config["loss"], config["early_stopping"], config["trainer"]["max_epochs"]
    if not loss["feature"] and loss["feature_weight"]:
        found.append(f"loss.feature_weight={loss['feature_weight']} does nothing with loss={loss['name']}")
    if early["name"] != "none" and early["patience"] >= epochs:
        found.append(f"early_stopping.patience={early['patience']} does nothing in a run of {epochs} epochs")
    return found
