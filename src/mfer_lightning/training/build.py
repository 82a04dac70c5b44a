"""Build the datamodule and the module of a training run: network, initial weights, objective, preprocessing, mixup."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from mfer_lightning.config.caller import is_given
from mfer_lightning.config.chosen import is_peer
from mfer_lightning.config.former_values import with_former_attention
from mfer_lightning.config.instantiate import described, instantiate
from mfer_lightning.data.datasets import FaceDataModule
from mfer_lightning.errors import UserError
from mfer_lightning.losses import Objective, OutputLoss, class_weights_from_counts
from mfer_lightning.module import FERModule
from mfer_lightning.module.valence_arousal import check_valence_arousal
from mfer_lightning.nn import MFER, Network, Preprocess
from mfer_lightning.nn import build_network as build_described
from mfer_lightning.nn.adapter import add_adapter
from mfer_lightning.nn.backbones.data_config import with_own_normalisation
from mfer_lightning.optim import Mixup
from mfer_lightning.plurals import counted
from mfer_lightning.training.build_method import build_method
from mfer_lightning.training.further_metrics import build_further_metrics, selecting_monitor
from mfer_lightning.training.initial_weights import load_initial_weights
from mfer_lightning.training.teachers import load_teachers

Config = Mapping[str, Any]


#: Datamodule arguments that are options of another node.
_ELSEWHERE = {name: f"loader.{name}" for name in ("batch_size", "eval_batch_size", "num_workers")}
#: Arguments of the objective that are options of another node.
_OF_VALENCE_AROUSAL = {"valence_arousal_weight": "valence_arousal.weight"}


def build_datamodule(config: Config) -> FaceDataModule:
    """Build the datamodule of ``dataset``, with the options of loader, augmentation and sampler."""
    loader = config["loader"]
    pin = loader["pin_memory"]
    datamodule: FaceDataModule = instantiate(
        config["dataset"],
        where="dataset",
        base=FaceDataModule,
        elsewhere=_ELSEWHERE,
        augment=config["augment"],
        sampler=config["sampler"]["name"],
        batch_size=loader["batch_size"],
        eval_batch_size=loader["eval_batch_size"],
        num_workers=loader["num_workers"],
        pin_memory=torch.cuda.is_available() if pin == "auto" else pin,
        cache_dir=config["paths"]["cache"],
        seed=config["seed"],
        train_faces=config["trainer"].get("overfit_batches", 0) * loader["batch_size"] or None,
        track_test=config["track_test"],
        shrink_batch=not is_given("loader.batch_size"),
    )
    return datamodule


def build_module(config: Config, datamodule: FaceDataModule, metadata: Config) -> FERModule:
    """Build network, objective and preprocessing, and load the initial weights.

    Args:
        config: plain resolved configuration.
        datamodule: a datamodule that is set up.
        metadata: plain values for the checkpoints, including ``alignment``.
    """
    if learns_valence_arousal(config):
        check_valence_arousal(datamodule, selecting_monitor(config, datamodule.protocol))
    network = build_network(config, datamodule.num_classes, datamodule.size)
    colour = load_initial_weights(config, network, datamodule.class_names)
    second = partial(_second_network, config, datamodule)
    config = {**config, "preprocess": {**config["preprocess"], "colour": colour}}
    with described("adapter"):
        add_adapter(network, config["adapter"])
    if config["trainer"]["checkpointing"]:
        network.backbone.set_checkpointing()
    grey = datamodule.train_dataset is not None and datamodule.train_dataset.is_grey()
    monitor = selecting_monitor(config, datamodule.protocol)
    names, counts, faces = datamodule.class_names, datamodule.class_counts, len(datamodule.index)
    teachers = partial(load_teachers, config, names)
    return assemble(config, network, names, counts, metadata, grey, monitor, faces, second, teachers)


def _second_network(config: Config, datamodule: FaceDataModule) -> Network:
    """Build a second network with weights from the same file but new heads, so that the two networks differ."""
    network = build_network(config, datamodule.num_classes, datamodule.size)
    load_initial_weights(config, network, datamodule.class_names, new_heads=True)
    if config["trainer"]["checkpointing"]:
        network.backbone.set_checkpointing()
    return network


def build_network(config: Config, num_classes: int, stored_size: int | None = None) -> Network:
    """Build the network with random weights, for its image size.

    A configuration of an earlier version gives that version's network.

    Args:
        config: plain resolved configuration.
        num_classes: number of classes.
        stored_size: side of the dataset's images, used if ``preprocess.size`` is null.
    """
    size = config["preprocess"]["size"] or stored_size
    if is_peer(config):
        with described("network"):
            return build_described({**config["network"], "num_classes": num_classes, "image_size": size})
    backbone = {k: v for k, v in config["backbone"].items() if v is not None}
    with described("network"):
        attention = with_former_attention(config)["attention"]
        affect = learns_valence_arousal(config)
        return MFER(
            backbone, num_classes, attention=attention, head=config["head"], image_size=size, valence_arousal=affect
        )


def learns_valence_arousal(config: Config) -> bool:
    """Whether valence and arousal are predicted; configurations of earlier versions have no such option."""
    return bool((config.get("valence_arousal") or {}).get("loss"))


def assemble(
    config: Config,
    network: nn.Module,
    class_names: Sequence[str],
    class_counts: Sequence[int],
    metadata: Config = MappingProxyType({}),
    grey: bool = False,
    monitor: str | None = None,
    num_faces: int = 1,
    second: Callable[[], nn.Module] | None = None,
    teachers: Callable[[str | None], Sequence[nn.Module]] | None = None,
) -> FERModule:
    """Combine a network with the objective, method, preprocessing and mixup of the configuration.

    Args:
        config: plain resolved configuration.
        network: the result of :func:`build_network`.
        class_names: the K emotions in order.
        class_counts: K numbers of training faces, one per class.
        metadata: plain values for the checkpoints, including ``alignment``.
        grey: whether the faces are greyscale.
        monitor: the selection metric, which the schedule uses if it names no other.
        num_faces: number of rows in the dataset's table, for methods with per-face state.
        second: builds a second network like ``network``, for methods that train two networks.
        teachers: loads the teacher models, given the alignment of the faces.
    """
    with described("preprocess"):
        alignment = metadata.get("alignment", {}).get("template")
        options = with_own_normalisation(config["preprocess"], config["backbone"]["name"])
        options["colour"] = options.get("colour") or "RGB"
        preprocess = Preprocess(**options, grey=grey, alignment=alignment)
    with described("mixup"):
        mixup = build_mixup(config)
    return FERModule(
        network,
        build_objective(config, class_names, class_counts, int(network.feature_dim)),  # type: ignore[arg-type]
        preprocess,
        class_names=class_names,
        optimizer=config["optimizer"],
        scheduler={**config["scheduler"], "monitor": config["scheduler"].get("monitor") or monitor},
        method=build_method(
            config, network, len(class_names), num_faces, second, partial(teachers, alignment) if teachers else tuple
        ),
        mixup=mixup,
        metadata=metadata,
        metrics=build_further_metrics(config, len(class_names)),
        channels_last=config["trainer"]["channels_last"],
    )


def build_objective(
    config: Config, class_names: Sequence[str], class_counts: Sequence[int], feature_dim: int
) -> Objective:
    """Build the objective of ``loss`` and ``valence_arousal``, with class weights from the training counts."""
    loss, counts = config["loss"], tuple(class_counts)
    available: dict[str, Any] = {"num_classes": len(class_names), "feature_dim": feature_dim, "class_counts": counts}
    weighted = _with_class_weights(loss["classification"], class_names, counts)
    classification = instantiate(weighted, where="loss.classification", **available)
    feature = instantiate(loss["feature"], where="loss.feature", **available) if loss["feature"] else None
    terms = {
        name: instantiate(node, where=f"loss.terms.{name}", base=OutputLoss, **available)
        for name, node in (loss.get("terms") or {}).items()
        if node  # null disables a loss
    }
    affect: dict[str, Any] = {}
    if learns_valence_arousal(config):
        node = config["valence_arousal"]
        affect["valence_arousal"] = instantiate(node["loss"], where="valence_arousal.loss", base=nn.Module)
        affect["valence_arousal_weight"] = node["weight"]
    with described("loss", _OF_VALENCE_AROUSAL):
        return Objective(classification, feature, loss["feature_weight"], terms, **affect)


def _with_class_weights(node: Config, class_names: Sequence[str], class_counts: Sequence[int]) -> Config:
    """Replace a scheme of class weights by its values."""
    scheme = node.get("class_weights")
    if scheme == "none":
        return {**node, "class_weights": None}
    if not isinstance(scheme, str):
        if scheme is not None and len(scheme) != len(class_names):
            raise UserError(
                f"loss.classification.class_weights has {counted(len(scheme), 'number')} for {len(class_names)} "
                f"classes ({', '.join(class_names)}). Give one number per class, in this order."
            )
        return node
    empty = [n for n, c in zip(class_names, class_counts, strict=True) if c == 0]
    try:
        if empty:
            raise ValueError(f"{scheme} is not possible, because there are no training faces of {', '.join(empty)}.")
        return {**node, "class_weights": list(class_weights_from_counts(class_counts, scheme))}
    except ValueError as error:
        raise UserError(f"loss.classification.class_weights: {error}") from error


def build_mixup(config: Config) -> Mixup | None:
    """Build the mixup of the configuration; None: no mixing."""
    options = {k: v for k, v in config["mixup"].items() if k != "name"}
    return None if config["mixup"]["name"] == "none" else Mixup(**options, seed=config["seed"])
