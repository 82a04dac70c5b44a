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

#: A configuration as a mapping from dotted names to values as text.
Flat = Mapping[str, str]

#: Text for a value that a configuration does not have.
ABSENT = "–"

#: Options that do not distinguish methods: those outside a run's identity, and a few more. Runs with different seeds
#: repeat a method, and recording test metrics does not change training.
_NOT_A_METHOD = (*IRRELEVANT, "seed", "track_test", "report")

#: Familiar names of common options, in the order of columns.
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

#: Values that mean "nothing added", simplest first. On an axis without such values, the smallest number is simplest.
_SIMPLE = ("none", "ce", "linear", "label", "majority", "shuffle", "false", "best", ABSENT)


@dataclass(frozen=True)
class Axis:
    """One option in which methods differ.

    Args:
        key: dotted name in the configuration.
        title: familiar name of the option.
        tied: dotted names of options that change with it, value by value.
    """

    key: str
    title: str
    tied: tuple[str, ...] = ()


def flatten(config: Mapping[str, Any]) -> dict[str, str]:
    """Convert a configuration to dotted names and text, without options that do not distinguish methods.

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
            elif dotted == "dataset.root":  # the location of the data folder does not matter, only the dataset in it
                found[dotted] = str(value).removeprefix(data)
            else:
                found[dotted] = in_words(value)

    walk(config, "")
    for dotted, value in LATER.items():  # options that runs of earlier versions do not have
        group = dotted.partition(".")[0]
        if group == "attention" and found.get("attention.name") == "none":
            continue  # has no options
        if group != dotted and isinstance(config.get(group), Mapping):
            found.setdefault(dotted, in_words(value))
        elif found.get(dotted) == in_words(value):
            del found[dotted]
    return found


def _augment_written_out(config: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the augmentation to its transforms, so that runs of earlier versions can be compared by option."""
    node = config.get("augment")
    if not isinstance(node, Mapping) or "_target_" in node:
        return {}
    try:
        return {"augment": with_transforms(node)}
    except UserError:  # from a version with other option names
        return {}


def in_words(value: Any) -> str:
    """Format a configuration value as text on one line, None as ``none``.

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
    """Find the options in which configurations differ.

    An option that is determined by the choice in its group (``loss.feature_weight`` by ``loss.name``), or by a recipe,
    is not a separate axis. If options change together, value by value, the best-known option is the axis and lists the
    others.

    Args:
        configs: at least one result of :func:`flatten`.

    Returns:
        The axes, the best-known first; empty if all configurations are equal.

    Example:
        >>> a = {"loss.name": "ce", "loss.weight": "0", "optimizer.lr": "0.1"}
        >>> b = {"loss.name": "dsf", "loss.weight": "1", "optimizer.lr": "0.1"}
        >>> [axis.title for axis in find_axes([a, b, {**b, "optimizer.lr": "0.2"}])]
        ['loss', 'learning rate']
    """
    keys = dict.fromkeys(key for config in configs for key in config)
    runs = [(config, {_group(key) for key in config}) for config in configs]
    # the implicit values of options that earlier versions did not have
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
    """Return the familiar name of an option.

    Example:
        >>> title_of("dataset.label_noise"), title_of("teacher.name"), title_of("optimizer.eps")
        ('label noise', 'teacher', 'optimizer.eps')
    """
    return TITLES.get(key, key.removesuffix(".name").removesuffix("._target_"))


def simplicity(value: str) -> tuple[int, float, str]:
    """Return a sort key: the simplest value first, then numbers by size, then words alphabetically.

    Example:
        >>> sorted(["lgm", "ce", "dsf"], key=simplicity), sorted(["10", "9", "none"], key=simplicity)
        (['ce', 'dsf', 'lgm'], ['none', '9', '10'])
    """
    if value in _SIMPLE:
        return 0, float(_SIMPLE.index(value)), value
    number = as_number(value)
    return (2, 0.0, value) if number is None else (1, number, value)


def as_number(value: str) -> float | None:
    """Convert text to a number; None if it is not a number."""
    try:
        number = float(value)
    except ValueError:
        return None
    return number if number == number else None


def _brought(key: str, axis: str) -> bool:
    """Whether the value of an axis can set an option: one of the same group, or any if the axis is the recipe."""
    return axis == RECIPE or _group(key) == _group(axis)


def _follows(column: Sequence[str], axis: Sequence[str], brought: bool) -> bool:
    """Whether an axis determines a column. If it cannot set the option, both must also have equally many values."""
    pairs, values = set(zip(axis, column, strict=True)), set(axis)
    determined = len(pairs) == len(values)
    return determined and (brought or len(set(column)) == len(values))


def _group(key: str) -> str:
    return key.partition(".")[0]
