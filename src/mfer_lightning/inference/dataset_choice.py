"""The faces that a verb works on: those of a checkpoint's own dataset, or of one named on the command line."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser

from mfer_lightning.config.compose import compose_train
from mfer_lightning.config.instantiate import instantiate
from mfer_lightning.config.path_quoting import quoted
from mfer_lightning.data.datasets import FaceDataModule
from mfer_lightning.data.workers import check_workers
from mfer_lightning.errors import UserError


def split_dataset_options(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Take the options of the dataset (``dataset.<option>=...``) out of a command line.

    Which options there are depends on the dataset, and the checkpoint may be what names it; so they are kept until
    then. ``dataset=<name>`` becomes ``dataset_name=<name>``: Hydra would take it for the choice of a group, whose files
    choose a backbone and more beside the dataset, as suits a training.

    Example:
        >>> split_dataset_options(["checkpoint=runs/a", "dataset=rafdb", "dataset.protocol=paper"])
        (['checkpoint=runs/a', 'dataset_name=rafdb'], ['dataset.protocol=paper'])
    """
    rest = [f"dataset_name={a[8:]}" if a.startswith("dataset=") else a for a in arguments]
    return [a for a in rest if not a.startswith("dataset.")], [a for a in rest if a.startswith("dataset.")]


def each_combination(options: Sequence[str], several: bool) -> list[list[str]]:
    """Take options with several values apart, as Hydra does with its own.

    Args:
        options: ``dataset.<option>=<value>``, or with comma-separated values.
        several: whether a sweep was asked for (``-m``).

    Returns:
        Options with one value each, one list a combination; a single empty list without options.

    Raises:
        UserError: for several values without a sweep.

    Example:
        >>> each_combination(["dataset.occlusion=0,1", "dataset.protocol=native"], several=True)
        [['dataset.occlusion=0', 'dataset.protocol=native'], ['dataset.occlusion=1', 'dataset.protocol=native']]
    """
    values = []
    for option, override in zip(options, OverridesParser.create().parse_overrides(list(options)), strict=True):
        if not override.is_sweep_override():
            values.append([option])
        elif several:
            values.append([f"{override.key_or_group}={value}" for value in override.sweep_string_iterator()])
        else:
            raise UserError(f"{option} names several values: add -m to evaluate each, or quote them as one.")
    return [list(combination) for combination in itertools.product(*values)]


def dataset_config(
    name: str | None, options: Sequence[str], stored: Mapping[str, Any] | None, data: str | None
) -> dict[str, Any]:
    """Compose the configuration of a dataset.

    Args:
        name: a choice of ``conf/dataset``; None: the stored one.
        options: ``dataset.<option>=<value>``, which win.
        stored: the configuration that a checkpoint was trained with, or None.
        data: the data root; None: the stored one, or the default.

    Returns:
        A plain mapping with ``_target_``.

    Raises:
        UserError: where there is no such dataset or option, or nothing says which dataset.
    """
    if name is None:
        if stored is None or "dataset" not in stored:
            raise UserError("The checkpoint does not say which dataset it was trained on: name one with dataset=...")
        config = dict(stored["dataset"])
        before = str(stored.get("paths", {}).get("data", ""))
        if data is not None and str(config.get("root", "")).startswith(before):
            config["root"] = data + str(config["root"])[len(before) :]
        parsed = OverridesParser.create().parse_overrides(list(options))
        for override in parsed:
            config[override.key_or_group.removeprefix("dataset.")] = override.value()
        return config
    # "++": whatever the dataset's class takes, whether conf/dataset names it or not; it refuses what it does not know.
    own = [
        f"dataset={name}",
        *(f"++{option}" for option in options),
        *([f"paths.data={quoted(str(Path(data)))}"] if data is not None else []),
    ]
    composed: dict[str, Any] = compose_train(own)["dataset"]
    return composed


def open_dataset(config: Mapping[str, Any], loader: Mapping[str, Any], cache: str | None) -> FaceDataModule:
    """Build the datamodule of a dataset for evaluation, and read its labels.

    Raises:
        UserError: for whatever is wrong with options or files.
    """
    for option, least in (("eval_batch_size", 1), ("num_workers", 0)):
        if loader[option] < least:
            raise UserError(f"loader.{option}={loader[option]}: the value must be at least {least}.")
    check_workers(loader["num_workers"])
    datamodule: FaceDataModule = instantiate(
        config,
        where="dataset",
        base=FaceDataModule,
        augment="none",
        batch_size=1,
        eval_batch_size=loader["eval_batch_size"],
        num_workers=loader["num_workers"],
        cache_dir=cache,
    )
    datamodule.prepare_data()
    datamodule.setup("predict")
    return datamodule
