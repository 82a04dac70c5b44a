"""Check that a module and a datamodule in one Trainer agree, and store the datamodule's metadata in the module."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import lightning as L
from torch import nn
from torch.utils.data import DataLoader

from mfer_lightning.align.stored_alignment import FILE, describe_alignment
from mfer_lightning.data.dataset import FaceDataset
from mfer_lightning.data.datasets.base import FaceDataModule
from mfer_lightning.data.datasets.registry import dataset_info
from mfer_lightning.data.samplers import EvalSampler, TrainSampler
from mfer_lightning.errors import UserError
from mfer_lightning.nn import Preprocess

#: Fields that identify an alignment.
_SAME = ("template", "height", "margin", "border", "refine")


def check_classes(class_names: tuple[str, ...], datamodule: FaceDataModule) -> None:
    """Reject faces whose classes differ from those of the module, or are in a different order.

    Raises:
        UserError: with both lists of classes.
    """
    theirs = tuple(datamodule.class_names)
    if theirs != class_names:
        raise _other_classes(class_names, theirs, datamodule.protocol.name)


def _other_classes(class_names: tuple[str, ...], theirs: tuple[str, ...], whose: str) -> UserError:
    return UserError(
        f"The classes of the module ({', '.join(class_names)}) must be the same as those of "
        f"{whose} ({', '.join(theirs)}), in the same order. Build the module with class_names=datamodule.class_names."
    )


def learn(metadata: Mapping[str, Any], datamodule: FaceDataModule) -> dict[str, Any]:
    """Return the metadata that a training datamodule adds to a module.

    Args:
        metadata: existing metadata of the module.
        datamodule: a datamodule that is set up.

    Returns:
        ``dataset``, ``protocol``, ``data_hash``, ``split_hashes``, ``datamodule`` (its class and arguments, if they are
        plain), and ``alignment`` if the faces or their dataset declare it. Entries that the metadata already contains
        are omitted.

    Raises:
        UserError: if the metadata contradicts the datamodule.
    """
    facts: dict[str, Any] = {
        "dataset": datamodule.dataset,
        "protocol": datamodule.protocol.name,
        "data_hash": datamodule.data_hash,
        "split_hashes": datamodule.split_hashes(),
    }
    for name in ("protocol", "data_hash"):
        if metadata.get(name) not in (None, facts[name]):
            raise UserError(
                f"The metadata of the module names {_named(metadata, name)}, but the datamodule has "
                f"{_named(facts, name)}. To train the module on other faces, set module.metadata = {{}}."
            )
    template = dataset_info(datamodule.dataset).template
    if datamodule.alignment is not None or template is not None:  # nothing is assumed about other faces
        size = datamodule.size
        facts["alignment"] = describe_alignment(datamodule.alignment, datamodule.dataset, size, template)
        told = metadata.get("alignment")
        told = told if isinstance(told, Mapping) else {}
        stated = told.get("origin") == facts["alignment"]["origin"] == FILE
        if stated and any(told.get(key) != facts["alignment"].get(key) for key in _SAME):
            raise UserError(
                f"The faces of the module and those of the datamodule differ in template ({told.get('template')} and "
                f"{facts['alignment']['template']}), height, margin, border or refinement. Align both in the same way "
                "with mfer align."
            )
    if "config" not in metadata and (described := datamodule.describe()) is not None:
        facts["datamodule"] = described
    return {name: value for name, value in facts.items() if name not in metadata}


def complete_preprocess(preprocess: nn.Module, metadata: Mapping[str, Any], datamodule: FaceDataModule) -> None:
    """Store the alignment of the faces in the preprocessing, and whether they are greyscale.

    Raises:
        UserError: if the preprocessing names a different alignment from the one recorded with the faces.
    """
    if not isinstance(preprocess, Preprocess):
        return
    alignment: Any = metadata.get("alignment") or {}
    template = alignment.get("template")
    if preprocess.alignment is None:
        preprocess.alignment = template
    elif alignment.get("origin") == FILE and preprocess.alignment != template:
        raise UserError(
            f"The preprocessing of the module names the alignment {preprocess.alignment}, but the faces were aligned "
            f"as {template}. Remove Preprocess(alignment=...), or set it to the alignment of the faces."
        )
    faces = datamodule.train_dataset
    if not preprocess.grey and faces is not None and faces.is_grey():
        preprocess.grey = True  # has no effect on greyscale faces, and converts colour faces in prediction


def check_loaders(class_names: tuple[str, ...], trainer: L.Trainer, loaders: Any) -> None:
    """Reject batches of a ``FaceDataset`` with different classes, or built for a different number of processes.

    Args:
        class_names: classes of the module.
        trainer: the Trainer that runs the batches.
        loaders: a loader, or any list or mapping of loaders.

    Raises:
        UserError: if classes differ, or faces would be left out or repeated.
    """
    for loader in _flat(loaders):
        theirs = getattr(loader.dataset, "class_names", ()) if isinstance(loader.dataset, FaceDataset) else ()
        if theirs and theirs != class_names:
            raise _other_classes(class_names, theirs, "these faces")
        sampler = getattr(loader.batch_sampler, "sampler", None)  # in prediction, Lightning wraps the batch sampler
        if isinstance(sampler, (TrainSampler, EvalSampler)) and sampler.num_replicas != trainer.world_size:
            raise UserError(
                f"These batches were made for {sampler.num_replicas} process(es), but the Trainer runs "
                f"{trainer.world_size}. Pass the datamodule itself (datamodule=...), not its loaders."
            )
        overfit: float = trainer.overfit_batches  # type: ignore[attr-defined]
        if isinstance(loader.dataset, FaceDataset) and overfit and trainer.world_size > 1:
            raise UserError(
                f"Trainer(overfit_batches={overfit}) replaces the samplers of the faces, so with "
                f"{trainer.world_size} processes, some faces would be used or counted several times. Use one process, "
                "or remove overfit_batches and set train_faces=<number> in the datamodule."
            )


def check_batch(batch: Any, *needed: str) -> None:
    """Reject a batch of a user-defined loader that lacks an entry that the step needs.

    It is called in each step and not in ``on_before_batch_transfer``, because Lightning warns about that hook if there
    is a datamodule.

    Raises:
        UserError: with the required entries.
    """
    if isinstance(batch, Mapping) and all(name in batch for name in needed):
        return
    found = f"a mapping with {', '.join(map(str, batch))}" if isinstance(batch, Mapping) else type(batch).__name__
    raise UserError(
        f"A batch must be a mapping with {', '.join(needed)} (see help(FERModule)), but the loader returned {found}."
    )


def _flat(loaders: Any) -> Iterator[DataLoader[Any]]:
    if isinstance(loaders, DataLoader):
        yield loaders
    elif isinstance(loaders, Mapping):
        for loader in loaders.values():
            yield from _flat(loader)
    elif isinstance(loaders, (list, tuple)):
        for loader in loaders:
            yield from _flat(loader)


def _named(facts: Mapping[str, Any], name: str) -> str:
    value = str(facts[name])
    return value if name != "data_hash" else f"faces with the data hash {value[:8]}"
