"""Find the axes of a study: the options in which the configurations of its runs differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mfer_lightning.config.augment_forms import with_transforms
from mfer_lightning.config.chosen import RECIPE
from mfer_lightning.config.former_names import with_first_names, with_options_of_today
from mfer_lightning.errors import UserError
from mfer_lightning.sweeps.identity import IRRELEVANT, LATER

#: A configuration as dotted names and values in words.
Flat = Mapping[str, str]

#: What a value is called where a configuration does not have it.
ABSENT = "–"

#: What does not make another method of a run, beyond what does not belong to its identity: the seed is what methods
#: are repeated with, and recording test figures changes nothing that is trained.
_NOT_A_METHOD = (*IRRELEVANT, "seed", "track_test", "report")

#: Names that readers know the commonest options by; the order is the order of columns.
TITLES = {
    RECIPE: "experiment",
    "trained_on": "trained on",
    "loss.name": "loss",
    "attention.name": "attention",
    "backbone.name": "backbone",
    "head.name": "head",
    "weights": "weights",
    "dataset.target": "target",
    "dataset.label_noise": "label noise",
    "dataset.train_size": "training faces",
    "dataset.fold": "fold",
    "augment.name": "augment",
    "sampler.name": "sampler",
    "mixup.name": "mixup",
    "valence_arousal.name": "valence/arousal",
    "optimizer.name": "optimizer",
    "optimizer.lr": "learning rate",
    "optimizer.weight_decay": "weight decay",
    "scheduler.name": "scheduler",
    "ema.name": "ema",
    "loss.feature_weight": "feature weight",
    "preprocess.size": "image size",
    "loader.batch_size": "batch size",
    "trainer.max_epochs": "epochs",
    "evaluation.flip": "flip",
    "evaluation.shift": "shift",
    "checkpoint": "checkpoint",
}
_ORDER = {key: place for place, key in enumerate(TITLES)}

#: Values that stand for "nothing added", simplest first; of an axis without one the smallest number is the simplest.
_SIMPLE = ("none", "ce", "linear", "label", "majority", "shuffle", "false", "best", ABSENT)


@dataclass(frozen=True)
class Axis:
    """One thing in which methods differ.

    Args:
        key: dotted name in the configuration.
        title: what readers call it.
        tied: dotted names of what changes with it, value by value.
    """

    key: str
    title: str
    tied: tuple[str, ...] = ()


def flatten(config: Mapping[str, Any]) -> dict[str, str]:
    """Write a configuration as dotted names and words, without what does not make another method.

    Example:
        >>> flatten({"ema": {"name": "ema", "decay": None}, "seed": 3, "paths": {"runs": "runs"}})
        {'ema.name': 'ema', 'ema.decay': 'none'}
    """
    config = with_options_of_today(with_first_names({**config, **_augment_written_out(config)}))
    found: dict[str, str] = {}
    paths = config.get("paths")
    data = str(paths.get("data", "")) if isinstance(paths, Mapping) else ""

    def walk(node: Mapping[str, Any], prefix: str) -> None:
        for key, value in node.items():
            dotted = f"{prefix}{key}"
            if dotted in _NOT_A_METHOD:
                continue
            if isinstance(value, Mapping) and value:
                walk(value, f"{dotted}.")
            elif dotted == "dataset.root":  # where the data folder is does not matter; which dataset in it does
                found[dotted] = str(value).removeprefix(data)
            else:
                found[dotted] = in_words(value)

    walk(config, "")
    for dotted, value in LATER.items():  # as if runs of earlier versions had said so
        group = dotted.partition(".")[0]
        if group == "attention" and found.get("attention.name") == "none":
            continue  # has no options
        if group != dotted and isinstance(config.get(group), Mapping):
            found.setdefault(dotted, in_words(value))
        elif found.get(dotted) == in_words(value):
            del found[dotted]
    return found


def _augment_written_out(config: Mapping[str, Any]) -> dict[str, Any]:
    """Write the augmentation as its transforms, so that runs of before are compared option by option as well."""
    node = config.get("augment")
    if not isinstance(node, Mapping) or "_target_" in node:
        return {}
    try:
        return {"augment": with_transforms(node)}
    except UserError:  # of a version that had other names
        return {}


def in_words(value: Any) -> str:
    """Write a value of a configuration as on the command line.

    Example:
        >>> in_words(None), in_words(True), in_words(0.30000000000000004), in_words([1, 2])
        ('none', 'true', '0.3', '[1, 2]')
    """
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(in_words(v) for v in value)}]"
    return " ".join(str(value).split())


def find_axes(configs: Sequence[Flat]) -> tuple[Axis, ...]:
    """Find in what configurations differ.

    An option that only follows from the name of its choice (``loss.feature_weight`` from ``loss.name``), or from a
    recipe, is not a separate axis; of options that change together, value by value, the best-known one is the axis and
    names the others.

    Args:
        configs: at least one, of :func:`flatten`.

    Returns:
        The axes, the best-known first; none if all are equal.

    Example:
        >>> a = {"loss.name": "ce", "loss.weight": "0", "optimizer.lr": "0.1"}
        >>> b = {"loss.name": "dsf", "loss.weight": "1", "optimizer.lr": "0.1"}
        >>> [axis.title for axis in find_axes([a, b, {**b, "optimizer.lr": "0.2"}])]
        ['loss', 'learning rate']
    """
    keys = dict.fromkeys(key for config in configs for key in config)
    runs = [(config, {_group(key) for key in config}) for config in configs]
    # parts that earlier versions did not know had these values in their runs
    later = {
        f"{part}.{k}": in_words(v) for part, node in LATER.items() if isinstance(node, Mapping) for k, v in node.items()
    }
    columns = {
        key: tuple(
            config.get(key, ABSENT if _group(key) in known else later.get(key, ABSENT)) for config, known in runs
        )
        for key in keys
    }
    varied = [key for key, column in columns.items() if len(set(column)) > 1]
    varied.sort(key=lambda key: (_ORDER.get(key, len(_ORDER)), not key.endswith(".name"), key))
    axes: list[str] = []
    tied: dict[str, list[str]] = {}
    for key in varied:
        owner = next((axis for axis in axes if _follows(columns[key], columns[axis], _brought(key, axis))), None)
        if owner is None:
            axes.append(key)
        elif not (_brought(key, owner) and owner.endswith((".name", RECIPE))):
            tied.setdefault(owner, []).append(key)
    return tuple(Axis(key, title_of(key), tuple(tied.get(key, ()))) for key in axes)


def title_of(key: str) -> str:
    """What readers call a dotted name.

    Example:
        >>> title_of("dataset.label_noise"), title_of("teacher.name"), title_of("optimizer.eps")
        ('label noise', 'teacher', 'optimizer.eps')
    """
    return TITLES.get(key, key.removesuffix(".name").removesuffix("._target_"))


def simplicity(value: str) -> tuple[int, float, str]:
    """Give a sort key that puts the simplest value first, numbers by size, words by the alphabet.

    Example:
        >>> sorted(["lgm", "ce", "dsf"], key=simplicity), sorted(["10", "9", "none"], key=simplicity)
        (['ce', 'dsf', 'lgm'], ['none', '9', '10'])
    """
    if value in _SIMPLE:
        return 0, float(_SIMPLE.index(value)), value
    number = as_number(value)
    return (2, 0.0, value) if number is None else (1, number, value)


def as_number(value: str) -> float | None:
    """Read a number; None if it is none."""
    try:
        number = float(value)
    except ValueError:
        return None
    return number if number == number else None


def _brought(key: str, axis: str) -> bool:
    """Whether an option may come with the choice of an axis: one of its own group, or any that a recipe sets."""
    return axis == RECIPE or _group(key) == _group(axis)


def _follows(column: Sequence[str], axis: Sequence[str], brought: bool) -> bool:
    """Whether a column is known from an axis: where the axis brings it, it may be coarser, else it changes with it."""
    pairs, values = set(zip(axis, column, strict=True)), set(axis)
    determined = len(pairs) == len(values)
    return determined and (brought or len(set(column)) == len(values))


def _group(key: str) -> str:
    return key.partition(".")[0]
