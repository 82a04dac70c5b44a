"""Build the dataset that a model is evaluated on: its training dataset, or another dataset given by name."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser

from mfer_lightning.config.compose import compose_train
from mfer_lightning.config.instantiate import instantiate
from mfer_lightning.config.path_options import expand_paths, quote_paths
from mfer_lightning.config.path_quoting import quoted
from mfer_lightning.data.datasets import FaceDataModule
from mfer_lightning.data.workers import check_workers
from mfer_lightning.errors import UserError, check_least


def stored_config(metadata: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the configuration that a model was trained with; for models trained from Python, only the dataset.

    Args:
        metadata: metadata of a model.

    Returns:
        None if nothing is stored.
    """
    config = metadata.get("config")
    if config is None and isinstance(metadata.get("datamodule"), Mapping):
        return {"dataset": metadata["datamodule"]}
    return config if isinstance(config, Mapping) else None


def dataset_config(
    name: str | None, options: Sequence[str], stored: Mapping[str, Any] | None, data: str | None
) -> dict[str, Any]:
    """Compose the configuration of a dataset.

    Args:
        name: a choice of ``conf/dataset``; None: the stored one.
        options: ``dataset.<option>=<value>``, which take precedence.
        stored: the configuration that a checkpoint was trained with, or None.
        data: the data root; None: ``MFER_DATA`` if it is set, otherwise the stored root or, with ``name``, the default.

    Returns:
        A plain mapping with ``_target_``.

    Raises:
        UserError: if there is no such dataset, or the model does not name its dataset. An unknown option is only
            rejected by :func:`open_dataset`.
    """
    if name is None:
        if stored is None or "dataset" not in stored:
            raise UserError("The checkpoint does not say which dataset it was trained on. Name one with dataset=...")
        config = dict(stored["dataset"])
        data = os.environ.get("MFER_DATA") if data is None else data
        before = str(stored.get("paths", {}).get("data", ""))
        if data is not None and str(config.get("root", "")).startswith(before):
            config["root"] = data + str(config["root"])[len(before) :]
        parsed = OverridesParser.create().parse_overrides(quote_paths(options))
        given = {override.key_or_group.removeprefix("dataset."): override.value() for override in parsed}
        return config | expand_paths(given, "dataset.")
    # "++" sets any option of the dataset's class, whether conf/dataset names it or not. The class checks the names.
    overrides = [f"dataset={name}", *(f"++{option}" for option in options)]
    if data is not None:
        overrides.append(f"paths.data={quoted(str(Path(data)))}")
    return dict(compose_train(overrides)["dataset"])


def open_dataset(config: Mapping[str, Any], loader: Mapping[str, Any], cache: str | None) -> FaceDataModule:
    """Build the datamodule of a dataset for evaluation, and read its labels.

    Args:
        config: result of :func:`dataset_config`.
        loader: ``eval_batch_size`` and ``num_workers``.
        cache: folder of decoded images; None: the default.

    Raises:
        UserError: if an option is illegal, or files are missing or damaged.
    """
    check_least("loader.eval_batch_size", loader["eval_batch_size"], 1)
    check_least("loader.num_workers", loader["num_workers"], 0)
    check_workers(loader["num_workers"])
    described = {key: value for key, value in config.items() if key != "augment"}  # not used in evaluation
    datamodule: FaceDataModule = instantiate(
        described, where="dataset", base=FaceDataModule, augment="none", batch_size=1, cache_dir=cache, **loader
    )
    datamodule.prepare_data()
    datamodule.setup("predict")
    return datamodule
