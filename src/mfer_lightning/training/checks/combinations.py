"""Reject options that are each legal but do not work together; report options without effect."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mfer_lightning.config.caller import given_overrides
from mfer_lightning.config.chosen import PARTS, is_peer, name_of
from mfer_lightning.config.instantiate import locate
from mfer_lightning.config.precision import configured_precision
from mfer_lightning.data.datasets.registry import (
    dataset_info,
    find_dataset,
    find_protocol,
    get_protocol,
    known_datasets,
)
from mfer_lightning.data.targets import TARGET_KINDS
from mfer_lightning.errors import UserError, excerpt
from mfer_lightning.optim import unused_options
from mfer_lightning.optim.schedules import READERS
from mfer_lightning.plurals import counted

Config = Mapping[str, Any]

#: Epochs of a run whose length is given in steps.
_ENDLESS = 10**9


def check_combinations(config: Config) -> None:
    """Reject pairs of options that do not work together.

    Args:
        config: plain resolved configuration of ``mfer train``, each value legal by itself.

    Raises:
        UserError: if two options do not work together; the message names both and the remedy.
    """
    _check_target(config)
    for parts in (_network, _length, _protocol, _optimizer, _freezing):
        for impossible, message in parts(config):
            if impossible:
                raise UserError(message)


def _check_target(config: Config) -> None:
    """Check that the losses support the training target."""
    dataset, loss = config["dataset"], config["loss"]
    rule = dataset.get("target") or _default_target(dataset)
    info = find_dataset(dataset["name"])
    legal = None if info is None else info.targets
    if legal is not None and rule is not None and rule not in legal:
        raise UserError(
            f"dataset.target={rule}: {dataset['name']} has no such training target. Legal: {', '.join(legal)}."
        )
    if not isinstance(loss["classification"], Mapping):
        raise UserError(
            f"loss.classification={excerpt(loss['classification'])}: a classification loss is required. Set its "
            "`_target_` to a class of mfer_lightning.losses, as the files in conf/loss/ do."
        )
    kind = TARGET_KINDS.get(rule, "one-hot") if rule else "one-hot"
    classification = _kind_taken(loss["classification"], "loss.classification")
    feature = _kind_taken(loss["feature"], "loss.feature")
    name = loss["name"]
    if kind == "multi-hot" and classification != "multi-hot":
        raise UserError(
            f"dataset.target=multi names several classes per face, but loss={name} takes one distribution. Use "
            "loss=multi_target, or another target such as dataset.target=crossentropy."
        )
    if classification == "multi-hot" and kind != "multi-hot":
        able = ", ".join(n for n in known_datasets() if "multi" in dataset_info(n).targets)
        raise UserError(
            f"loss={name} needs sets of classes, but dataset.target={rule} gives none. Add "
            f"dataset.target=multi{'' if legal is None or 'multi' in legal else f' (available for {able})'}, or use "
            "loss=ce."
        )
    mixed = config["mixup"]["name"] != "none"
    if feature == "one-hot" and (mixed or kind != "one-hot"):
        what = f"mixup={config['mixup']['name']}" if mixed else f"dataset.target={rule}"
        raise UserError(
            f"loss={name} takes only hard labels, but {what} creates soft labels. Use "
            f"{'mixup=none' if mixed else 'dataset.target=majority'}, or a loss that takes soft targets "
            "(for example ce, focal, center, lgm or dsf)."
        )


def _kind_taken(node: Any, where: str) -> str:
    if node is None:
        return "distribution"
    if not isinstance(node, Mapping) or "_target_" not in node:
        raise UserError(f"{where}={node}: the value must be a mapping with `_target_`, such as those in conf/loss.")
    return str(getattr(locate(str(node["_target_"]), where), "target_kind", "distribution"))


def _default_target(dataset: Config) -> str | None:
    known = find_protocol(f"{dataset['name']}@{dataset.get('protocol')}")
    return None if known is None else known.target


def _network(config: Config) -> Iterator[tuple[bool, str]]:
    given = [o for o in given_overrides() if re.match(rf"\+*({'|'.join(PARTS)})[.=]", o)] if is_peer(config) else []
    yield (
        bool(given),
        f"{given[0] if given else ''} has no effect with network={name_of(config, 'network')}: backbone, attention and "
        "head are parts of network=mfer; the other networks are complete. Remove it, or set network.*.",
    )


def _length(config: Config) -> Iterator[tuple[bool, str]]:
    trainer = config["trainer"]
    epochs, interval = trainer["max_epochs"], trainer["val_check_interval"]
    yield (
        epochs in (None, -1) and trainer["max_steps"] == -1,
        f"trainer.max_epochs={'null' if epochs is None else epochs} does not limit the run, but schedules need its "
        "length. Set trainer.max_steps=..., or a number of epochs.",
    )
    yield (
        trainer["check_val_every_n_epoch"] is None and not isinstance(interval, int),
        "trainer.check_val_every_n_epoch=null counts batches across epochs. Set the number of batches between "
        "validations, e.g. trainer.val_check_interval=1000.",
    )
    yield (
        bool(trainer["benchmark"]) and bool(trainer["deterministic"]),
        "trainer.benchmark=true lets cuDNN choose its algorithms by speed, and the choice may differ between runs. "
        "Remove it, or add trainer.deterministic=false.",
    )


def _protocol(config: Config) -> Iterator[tuple[bool, str]]:
    dataset = config["dataset"]
    named = dataset.get("protocol")
    if named in (None, "auto"):
        return
    protocol = get_protocol(dataset["name"], str(named))
    last = protocol.takes_last_epoch
    said = f"dataset.protocol={named} uses the last epoch and has no validation set"
    yield (
        last and config["early_stopping"]["name"] != "none",
        f"{said}, so early stopping has no metric. Use early_stopping=none, or another protocol.",
    )
    yield (
        last and config["scheduler"]["name"] == "plateau",
        f"{said}, so a plateau cannot be detected. Use another schedule, or another protocol.",
    )
    yield (
        last and config.get("monitor") is not None,
        f"{said}, so monitor={config.get('monitor')} selects nothing. Remove it, or use another protocol.",
    )
    yield (
        last and bool(config["track_test"]),
        f"{said}, but track_test=true needs one. Use track_test=false, or another protocol.",
    )


def _optimizer(config: Config) -> Iterator[tuple[bool, str]]:
    optimizer, trainer = config["optimizer"], config["trainer"]
    sam = optimizer["sam_rho"] > 0
    every = trainer["check_val_every_n_epoch"]
    yield (
        config["scheduler"]["name"] == "plateau" and every != 1,
        f"scheduler=plateau needs validation in every epoch, but trainer.check_val_every_n_epoch={every} skips "
        "it in some epochs. Use trainer.check_val_every_n_epoch=1, or another schedule.",
    )
    yield (
        sam and trainer["accumulate_grad_batches"] > 1,
        "optimizer=sam needs the full gradient in each pass. Use trainer.accumulate_grad_batches=1.",
    )
    yield (
        sam and configured_precision(trainer) == "16-mixed",
        "optimizer=sam does not work with the loss scaling of float16. Use trainer.precision=bf16-mixed.",
    )
    yield (
        bool(optimizer["sam_adaptive"]) and not sam,
        "optimizer.sam_adaptive=true has no effect without SAM. Add optimizer=sam, or set its radius, e.g. "
        "optimizer.sam_rho=0.5.",
    )
    loss = config["loss"]
    centred = loss["feature"] and hasattr(locate(str(loss["feature"]["_target_"]), "loss.feature"), "init_centers")
    yield (
        loss["centers_from_data"] and not centred,
        f"loss.centers_from_data=true needs a loss with centres (center, lgm, dsf), but loss={loss['name']} has none.",
    )


def _freezing(config: Config) -> Iterator[tuple[bool, str]]:
    freeze, epochs = config["freeze"], config["trainer"]["max_epochs"]
    yield (
        freeze["name"] != "none" and config["weights"] == "none",
        "freeze=backbone would keep a backbone with random weights. Load pre-trained weights with weights=imagenet or "
        "weights=<file>.",
    )
    yield (
        freeze["name"] != "none" and (freeze["epochs"] or 0) > (epochs or _ENDLESS) > 0,
        f"freeze.epochs={freeze['epochs']}: the run has {counted(epochs or 0, 'epoch')}. Use freeze.epochs=null for a "
        "backbone that stays frozen throughout.",
    )
    frozen = is_peer(config) and config["network"].get("freeze_landmarks") is True
    yield (
        bool(frozen) and config["weights"] in ("none", "imagenet"),
        f"network.freeze_landmarks=true with weights={config['weights']} would keep a landmark network with random "
        "weights. Use a file with its weights (docs/networks.md), or network.freeze_landmarks=false.",
    )
    yield (
        config["adapter"]["name"] != "none" and freeze["name"] != "none",
        "adapter=lora already freezes the backbone. Use freeze=none.",
    )


def idle_options(config: Config) -> list[str]:
    """Return notes on options without effect. These are not errors, because other jobs of a sweep may use them."""
    found = []
    off = {"ema": "decay", "mixup": "prob", "early_stopping": "patience", "freeze": "epochs"}
    defaults: dict[str, Any] = {"decay": 0.999, "prob": 1.0, "patience": 10, "epochs": None}
    for group, option in off.items():
        if config[group]["name"] == "none" and config[group].get(option) not in (None, defaults[option]):
            found.append(f"{group}.{option}={config[group][option]} has no effect with {group}=none")
    optimizer, scheduler = config["optimizer"], config["scheduler"]
    for name in unused_options(optimizer):
        if name != "betas":  # betas may come from a dataset's file
            found.append(f"optimizer.{name}={optimizer[name]} has no effect with {optimizer['name']}")
    for name, readers in READERS.items():
        if scheduler.get(name) is not None and scheduler["name"] not in readers:
            found.append(f"scheduler.{name}={scheduler[name]} has no effect with scheduler={scheduler['name']}")
    loss, early, epochs = config["loss"], config["early_stopping"], config["trainer"]["max_epochs"]
    if not loss["feature"] and loss["feature_weight"]:
        found.append(f"loss.feature_weight={loss['feature_weight']} has no effect with loss={loss['name']}")
    affect = config.get("valence_arousal") or {"loss": None, "weight": 1.0, "name": "none"}
    if not affect["loss"] and affect["weight"] != 1.0:
        found.append(f"valence_arousal.weight={affect['weight']} has no effect without valence_arousal.loss")
    if not affect["loss"] and affect["name"] != "none":
        found.append(f"valence_arousal={affect['name']} has no effect with valence_arousal.loss=null")
    if early["name"] != "none" and early["patience"] >= (epochs or _ENDLESS) > 0:
        found.append(
            f"early_stopping.patience={early['patience']} has no effect in a run of {counted(epochs, 'epoch')}"
        )
    if config["adapter"]["name"] != "none" and config["weights"] == "none":
        found.append("adapter=lora keeps the backbone's weights, which are random with weights=none")
    return found
