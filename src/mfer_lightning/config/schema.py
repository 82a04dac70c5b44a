"""Types and names of the options of ``mfer train``, checked by Hydra during composition.

YAML alone would accept ``trainer.max_epochs=abc``; these dataclasses reject it before the run starts. Nodes that each
describe one class (dataset, attention, head, each part of the loss) are free-form here and are checked against the
signature of the class when it is built (:mod:`mfer_lightning.config.instantiate`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Optional

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf

from mfer_lightning.config.former_names import OPTIONS
from mfer_lightning.config.hints import no_option
from mfer_lightning.config.resolvers import register_resolvers
from mfer_lightning.config.trainer_options import REFUSED, Trainer
from mfer_lightning.errors import UserError

# OmegaConf reads these annotations at run time; Optional is supported on every Python version that we support.
# ruff: noqa: UP045


@dataclass
class Paths:
    """Folders of data, runs and caches."""

    data: str = MISSING
    runs: str = MISSING
    cache: Optional[str] = None


@dataclass
class Preprocess:
    """Preprocessing between the image file and the network."""

    size: Optional[int] = 224
    mean: Any = "imagenet"
    std: Any = "imagenet"
    interpolation: str = "bilinear"
    colour: Optional[str] = None


@dataclass
class Loader:
    """Data loading."""

    batch_size: int = 256
    eval_batch_size: int = 256
    num_workers: int = 4
    pin_memory: Any = "auto"


@dataclass
class Evaluation:
    """Evaluation of the trained model."""

    flip: bool = False
    shift: float = 0.0
    embedding_points: int = 1500


@dataclass
class Backbone:
    """A timm model and its modifications."""

    name: str = MISSING
    drop_path_rate: float = 0.0
    stem: str = "default"
    stem_stride: Optional[int] = None
    norm: str = "layer"
    pool: Optional[str] = None
    stage_blocks: Optional[list[int]] = None
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class Named:
    """A choice that consists of a name only."""

    name: str = MISSING


@dataclass
class Loss:
    """Classification loss and optional feature loss."""

    name: str = MISSING
    classification: Any = MISSING
    feature: Any = None
    feature_weight: float = 0.0
    centers_from_data: bool = False
    terms: dict[str, Any] = field(default_factory=dict)


@dataclass
class ValenceArousal:
    """Prediction of valence and arousal, and its loss."""

    name: str = MISSING
    loss: Any = None
    weight: float = 1.0


@dataclass
class Optimizer:
    """Options common to all optimisers; each uses those that it supports and may have further options."""

    name: str = MISSING
    lr: float = MISSING
    weight_decay: float = 0.0
    betas: Optional[list[float]] = None
    eps: Optional[float] = None
    momentum: Optional[float] = None
    nesterov: Optional[bool] = None
    sam_rho: float = 0.0
    sam_adaptive: bool = False
    head_lr_scale: float = 1.0
    center_lr_scale: float = 1.0
    layer_decay: Optional[float] = None


@dataclass
class Scheduler:
    """Options common to all schedules; each uses those that it supports and may have further options."""

    name: str = MISSING
    warmup_epochs: float = 0.0
    warmup_steps: Optional[int] = None
    gamma: Optional[float] = None
    min_lr_ratio: Optional[float] = None
    milestones: Optional[list[int]] = None


@dataclass
class Mixup:
    """Mixup and CutMix."""

    name: str = MISSING
    mixup_alpha: float = 0.0
    cutmix_alpha: float = 0.0
    prob: float = 1.0
    switch_prob: float = 0.5


@dataclass
class Ema:
    """Moving average of the weights."""

    name: str = MISSING
    decay: float = 0.999


@dataclass
class EarlyStopping:
    """When to stop before the last epoch."""

    name: str = MISSING
    monitor: Optional[str] = None
    patience: int = 10
    min_delta: float = 0.0


@dataclass
class Freeze:
    """What to freeze in the first epochs."""

    name: str = MISSING
    epochs: Optional[int] = None


@dataclass
class Logger:
    """Options of a logger that can be set directly as ``logger.<option>``.

    All other options are arguments of the logger classes. The node contains one mapping per logger
    (:mod:`mfer_lightning.tracking.choice`), so it is free-form.
    """

    name: Optional[str] = None
    project: Optional[str] = None
    entity: Optional[str] = None
    mode: Optional[str] = None
    images: Optional[bool] = None
    checkpoints: Optional[bool] = None


@dataclass
class Train:
    """All options of ``mfer train``."""

    paths: Paths = field(default_factory=Paths)
    dataset: Any = MISSING
    backbone: Backbone = field(default_factory=Backbone)
    attention: Any = MISSING
    head: Any = MISSING
    network: Any = MISSING
    weights: str = "none"
    loss: Loss = field(default_factory=Loss)
    method: Any = MISSING
    valence_arousal: ValenceArousal = field(default_factory=ValenceArousal)
    augment: Any = MISSING
    sampler: Named = field(default_factory=Named)
    mixup: Mixup = field(default_factory=Mixup)
    optimizer: Optimizer = field(default_factory=Optimizer)
    scheduler: Scheduler = field(default_factory=Scheduler)
    ema: Ema = field(default_factory=Ema)
    early_stopping: EarlyStopping = field(default_factory=EarlyStopping)
    freeze: Freeze = field(default_factory=Freeze)
    adapter: Any = MISSING
    callbacks: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    trainer: Trainer = field(default_factory=Trainer)
    logger: Logger = field(default_factory=Logger)
    preprocess: Preprocess = field(default_factory=Preprocess)
    loader: Loader = field(default_factory=Loader)
    evaluation: Evaluation = field(default_factory=Evaluation)
    name: Optional[str] = None
    seed: int = 0
    resume: str = "auto"
    monitor: Optional[str] = None
    track_test: bool = False
    report: bool = True
    plugins: list[str] = field(default_factory=list)


#: Nodes that may contain further names, which are arguments of a class; the class rejects unknown names.
OPEN = (Optimizer, Scheduler, Logger)


def register(name: str, schema: type = Train) -> None:
    """Register a schema with Hydra.

    Args:
        name: name in the defaults list of the primary configuration file, e.g. ``"train_schema"``.
        schema: dataclass of the options of a command.
    """
    register_resolvers()
    node = OmegaConf.structured(schema)
    # Mappings that may contain names from timm, torch, detectors, loggers and users in addition to the typed fields.
    free_forms = (
        "backbone.options",
        "loss.terms",
        "optimizer",
        "scheduler",
        "callbacks",
        "metrics",
        "logger",
        "options",
        "detector",
    )
    for free in (*free_forms, "lists"):
        if isinstance(mapping := OmegaConf.select(node, free), DictConfig):
            OmegaConf.set_struct(mapping, False)
    ConfigStore.instance().store(name=name, node=node, provider="mfer_lightning")


def check_known(config: Mapping[str, Any], schema: Any, prefix: str = "", verb: str = "") -> None:
    """Reject unknown options that were added with Hydra's ``+``, and options that were removed with ``~``.

    Args:
        config: plain configuration of a command.
        schema: dataclass of the command's options.
        prefix: prefix of names in the message, e.g. ``"trainer."``.
        verb: name of the command; empty: that of the schema.

    Raises:
        UserError: if there is such an option.
    """
    verb = verb or schema.__name__.lower()
    kinds = {f.name: f.default_factory for f in fields(schema)}
    gone = next((name for name in kinds if name not in config and prefix + name not in OPTIONS), None)
    if gone is not None:
        raise UserError(f"`{prefix}{gone}` cannot be removed with ~: leave it out to use its default, or give a value.")
    for name, value in config.items():
        if prefix == "trainer." and name in REFUSED:
            raise UserError(f"`trainer.{name}` is not an option here: {REFUSED[name]}")
        if name not in kinds:
            raise UserError(no_option(f"{prefix}{name}", kinds, verb))
        if is_dataclass(kinds[name]) and kinds[name] not in OPEN and isinstance(value, Mapping):
            check_known(value, kinds[name], f"{prefix}{name}.", verb)
