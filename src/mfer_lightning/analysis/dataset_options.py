"""Describe the options that change the faces of a dataset, as ``option=value`` pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser

from mfer_lightning.config.path_quoting import as_typed
from mfer_lightning.data.datasets import FaceDataModule
from mfer_lightning.data.datasets.registry import dataset_info
from mfer_lightning.errors import UserError
from mfer_lightning.inference.dataset import dataset_config

#: Options of a dataset that do not change its faces, or that are already part of the protocol name.
OTHERWISE_SAME = ("protocol", "root", "name", "cache", "cache_dir", "batch_size", "num_workers", "pin_memory")


def options_in_words(options: Sequence[str], *, faces_only: bool = True) -> str:
    """Format the options of a dataset.

    Args:
        options: ``dataset.<option>=<value>``.
        faces_only: leave out options that do not change its faces, or that are already part of the protocol name.

    Example:
        >>> options_in_words(["dataset.protocol=paper", "dataset.occlusion=0.5", "dataset.difficulty=1"])
        'difficulty=1 occlusion=0.5'
        >>> options_in_words(["dataset.exclude=null", "dataset.drop=[contempt,fear]"])
        'drop=[contempt,fear] exclude=null'
    """
    return _in_words(_parsed(options), OTHERWISE_SAME if faces_only else ())


def options_of(datamodule: FaceDataModule, stored: Mapping[str, Any] | None) -> str:
    """Format the arguments of a datamodule as the options that would select the same faces on the command line.

    Args:
        datamodule: the dataset, with its labels read.
        stored: configuration that the model was trained with, or None.

    Returns:
        The arguments that differ from those of the dataset that the model was trained on, or from the defaults if the
        datamodule has another dataset; in the format of :func:`options_in_words`.
    """
    return _in_words(_changed(datamodule, stored), OTHERWISE_SAME)


def options_of_command(
    datamodule: FaceDataModule,
    name: str | None,
    options: Sequence[str],
    stored: Mapping[str, Any] | None,
) -> str:
    """Format the options with which a command opened a dataset.

    ``dataset=<name>`` with the dataset that the model was trained on resets the dataset options used in
    training to their defaults. If the description left out these options, the results would be written to the same
    folder as those of an evaluation without ``dataset=``.

    Args:
        datamodule: the dataset, with its labels read.
        name: the dataset named by the command, or None.
        options: ``dataset.<option>=<value>`` of the command.
        stored: configuration that the model was trained with, or None.

    Returns:
        The options of the command and those that were reset, in the format of :func:`options_in_words`.
    """
    reset = {} if name is None or _trained_on(datamodule, stored) is None else _changed(datamodule, stored)
    return _in_words({**reset, **_parsed(options)}, OTHERWISE_SAME)


def _parsed(options: Sequence[str]) -> dict[str, Any]:
    parsed = OverridesParser.create().parse_overrides(list(options))
    return {o.key_or_group.removeprefix("dataset."): o.value() for o in parsed}


def _trained_on(datamodule: FaceDataModule, stored: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return the dataset options of training if the model was trained on the same dataset."""
    trained = (stored or {}).get("dataset")
    return trained if isinstance(trained, Mapping) and trained.get("name") == datamodule.dataset else None


def _changed(datamodule: FaceDataModule, stored: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the arguments that differ from those of training on the same dataset, or from the defaults."""
    trained = _trained_on(datamodule, stored) or _defaults_of(datamodule.dataset)
    usual = _resolved({**datamodule.default_arguments(), **trained}, datamodule)
    given = _resolved(datamodule.arguments_of_faces(), datamodule)
    return {key: value for key, value in given.items() if key not in usual or usual[key] != value}


def _defaults_of(dataset: str) -> Mapping[str, Any]:
    try:
        return dataset_config(dataset, (), None, None)
    except UserError:  # a user's dataset without a file in conf/dataset
        return {}


def _resolved(options: Mapping[str, Any], datamodule: FaceDataModule) -> dict[str, Any]:
    """Replace None by the value that it stands for, and tuples by lists."""
    protocol = datamodule.protocol
    meant = {"fold": protocol.fold, "target": protocol.target, "size": dataset_info(datamodule.dataset).size}
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in options.items()}
    return plain | {key: value for key, value in meant.items() if plain.get(key) is None}


def _in_words(options: Mapping[str, Any], left_out: Sequence[str]) -> str:
    return " ".join(f"{key}={as_typed(value)}" for key, value in sorted(options.items()) if key not in left_out)
