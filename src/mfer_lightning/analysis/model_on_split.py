"""Open a model and the split of a dataset to evaluate it on."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mfer_lightning.analysis.dataset_options import options_of, options_of_command
from mfer_lightning.analysis.seen_faces import seen_faces
from mfer_lightning.data.datasets import FaceDataModule
from mfer_lightning.data.holdout import holdout
from mfer_lightning.data.splits import TEST_IS_MISSING
from mfer_lightning.errors import UserError
from mfer_lightning.inference.arithmetic import check_precision, choose_precision, set_precision
from mfer_lightning.inference.compilation import check_compile, compile_model
from mfer_lightning.inference.dataset import dataset_config, open_dataset, stored_config
from mfer_lightning.inference.match_classes import ClassMatch, match_classes
from mfer_lightning.inference.model import FERModel, read_model, usual_batch
from mfer_lightning.inference.predict_split import SplitName
from mfer_lightning.memory import keep_freed_memory
from mfer_lightning.plurals import counted
from mfer_lightning.views import ONE_VIEW, Views


@dataclass(frozen=True, eq=False)
class ModelOnSplit:
    """A model and the faces to evaluate it on.

    Args:
        model: the model.
        datamodule: the dataset, with its labels read.
        split: a split of the datamodule.
        match: mapping of the model's logits and the dataset's labels to the common classes.
        positions: (N,) positions of the faces within the split, sorted by row of the index.
        views: views averaged for each face.
        dataset: the dataset's configuration.
        options: the options of the dataset that change its faces, as text. For a dataset opened by name, these are the
            options that were given and the options used in training that ``dataset=<name>`` reset to their defaults;
            for a datamodule, the arguments that differ from those of the dataset that the model was trained on, or from
            the defaults if the datamodule has another dataset.
    """

    model: FERModel
    datamodule: FaceDataModule
    split: SplitName
    match: ClassMatch
    positions: NDArray[np.int64]
    views: Views = ONE_VIEW
    dataset: Mapping[str, Any] = field(default_factory=dict)
    options: str = ""

    @property
    def rows(self) -> NDArray[np.int64]:
        """(N,) rows of the index."""
        return self.datamodule.splits[self.split].rows[self.positions]

    @property
    def label(self) -> NDArray[np.int64]:
        """(N,) labels among the common classes."""
        return self.match.to_common[self.datamodule.splits[self.split].label[self.positions]]

    @property
    def groups(self) -> NDArray[np.int64] | None:
        """(N,) photo or person of each face; None if the dataset has no groups."""
        group = self.datamodule.index.group
        return None if group is None else group[self.rows]

    @property
    def protocol(self) -> str:
        """Name of the protocol, with a suffix if classes are left out."""
        return f"{self.datamodule.protocol.name}{self.match.mark}"

    def describe(self) -> dict[str, Any]:
        """Return the entries of a result that describe the faces: dataset, protocol, split, evaluation set."""
        usual = self.datamodule.protocol.describe(self.split)
        # the protocol's description of the split names the fold
        options = " ".join(word for word in self.options.split() if not word.startswith("fold="))
        return {
            "dataset": self.dataset.get("name", self.datamodule.dataset),
            "protocol": self.protocol,
            "split": self.split,
            "evaluation_set": f"{usual}, with {options}" if options else usual,
        }

    def describe_model(self) -> dict[str, Any]:
        """Return the entries of a result that describe the model."""
        said = self.model.metadata
        return {
            "checkpoint": None if self.model.source is None else str(self.model.source),
            "trained_on": said.get("protocol"),
            **{key: said.get(key) for key in ("data_hash", "git", "precision")},
            **({} if self.model.precision == "32-true" else {"predicted_in": self.model.precision}),
            "class_names": list(self.model.class_names),
            **self.views.to_config(),
        }

    def identity(self) -> str:
        """Hash the weights, the paths and labels of the faces, and the prediction settings, but not the images."""
        digest = hashlib.sha256()
        for name, tensor in self.model.network.state_dict().items():
            digest.update(name.encode())
            plain = tensor.detach().cpu().contiguous()
            digest.update((plain.float() if plain.dtype == torch.bfloat16 else plain).numpy().tobytes())
        preprocess = self.model.preprocess.to_config()
        facts = (self.datamodule.data_hash, self.split, self.match.names, self.views.mark, preprocess)
        digest.update(repr(facts).encode())
        digest.update(self.rows.tobytes())
        return digest.hexdigest()

    def require_faces(self) -> None:
        """Check that there are faces to evaluate.

        Raises:
            UserError: if the split is empty, or all of its faces belong to dropped classes.
        """
        if len(self.positions) == 0:
            self.datamodule.predict_dataloader(self.split)  # explains an empty split
            raise UserError(f"All faces of the {self.split} split belong to dropped classes. Drop fewer classes.")

    def remarks(self) -> list[str]:
        """Return notes on the result: faces that the model has seen, the dataset, the precision, dropped classes."""
        notes = [*seen_faces(self.model.metadata, self.datamodule, self.split), *self._of_dataset()]
        if self.model.precision != "32-true":
            notes.append(
                f"predicted in {self.model.precision}, not in float32: probabilities differ by up to about 0.01"
            )
        if self.match.dropped:
            lost = int((self.match.to_common[self.datamodule.splits[self.split].label] < 0).sum())
            names = ", ".join(self.match.dropped)
            notes.append(f"left out by drop: {names} ({counted(lost, 'face')}); {len(self.match.names)} classes remain")
        return notes

    def _of_dataset(self) -> list[str]:
        """Return the notes of the datamodule; missing test images are mentioned only for the split val."""
        return [note for note in self.datamodule.notes if note != TEST_IS_MISSING or self.split == "val"]


def open_model_on_split(
    checkpoint: str | PathLike[str] | FERModel,
    split: SplitName = "test",
    *,
    datamodule: FaceDataModule | None = None,
    options: str | None = None,
    dataset_name: str | None = None,
    dataset_options: Sequence[str] = (),
    drop: Sequence[str] = (),
    flip: bool | None = None,
    shift: float | None = None,
    device: str = "auto",
    precision: str | None = None,
    compile: bool | str = "auto",
    verify: bool = True,
    data: str | None = None,
    cache: str | None = None,
    loader: Mapping[str, Any] | None = None,
) -> ModelOnSplit:
    """Load a model and read the labels of the faces to evaluate it on.

    Args:
        checkpoint: a run's folder, a checkpoint, an export, or a loaded model, which stays on its device.
        split: ``"test"``, ``"val"`` or ``"train"``.
        datamodule: the dataset; None: as given by ``dataset_name`` and ``dataset_options``.
        options: options of the datamodule as text, e.g. ``"difficulty=1 occlusion=0.5"``, for the description and the
            folder of the results; None: as returned by :func:`~mfer_lightning.analysis.dataset_options.options_of`.
        dataset_name: a choice of ``conf/dataset``; None: the dataset that the model was trained on.
        dataset_options: ``dataset.<option>=<value>``, which override the stored options and those of the choice.
        drop: classes to leave out.
        flip: average with the mirrored face; None: as stored in the checkpoint.
        shift: average with four shifted copies; None: as stored in the checkpoint.
        device: ``"auto"``, or a torch device.
        precision: precision of the forward passes, see :func:`~mfer_lightning.inference.arithmetic.choose_precision`;
            None: float32 for a file, and the current precision for a loaded model.
        compile: compile the network, see :func:`~mfer_lightning.inference.compilation.compile_model`.
        verify: compare the weights with the stored checksums.
        data: the data root; None: ``MFER_DATA`` if it is set, otherwise the stored root or, with ``dataset_name``, the
            default.
        cache: folder of decoded images; None: the default.
        loader: ``eval_batch_size`` and ``num_workers``.

    Raises:
        UserError: if the model or the dataset cannot be opened, or one has classes that the other lacks and that are
            not in ``drop``.
    """
    if datamodule is not None and (dataset_name or dataset_options or data or cache):
        raise UserError(
            "Give either a datamodule or the arguments that open a dataset by name (dataset_name, dataset_options, "
            "data, cache)."
        )
    check_compile(compile)
    check_precision("32-true" if precision is None else precision)
    keep_freed_memory()
    loaded = isinstance(checkpoint, FERModel)
    model = checkpoint if isinstance(checkpoint, FERModel) else read_model(checkpoint, device, verify=verify)
    chosen = model.precision if precision is None else choose_precision(precision, model.device)
    if loaded and (chosen != model.precision or check_compile(compile) is True):
        model = copy.deepcopy(model)  # do not change the caller's model
    set_precision(model, chosen)
    sizes = {"num_workers": 2, **(loader or {})}
    if sizes.get("eval_batch_size") is None:
        sizes["eval_batch_size"] = usual_batch(model.device)
    if datamodule is None:
        config = dataset_config(dataset_name, dataset_options, stored_config(model.metadata), data)
        datamodule = open_dataset(config, sizes, cache)
        options = options_of_command(datamodule, dataset_name, dataset_options, stored_config(model.metadata))
    else:
        datamodule.prepare_data()
        datamodule.setup("predict")
        named = {"name": datamodule.dataset, "protocol": datamodule.protocol.short_name}
        config = {**datamodule.arguments_of_faces(), **named}
        options = options_of(datamodule, stored_config(model.metadata)) if options is None else options
    match = match_classes(model.class_names, datamodule.class_names, drop)
    views = Views.of_metadata(model.metadata, flip, shift)
    positions = choose_faces(datamodule, split, match)
    if not loaded or check_compile(compile) is True:
        compile_model(model, compile, datamodule.eval_batch_size, len(positions) * views.count)
    return ModelOnSplit(model, datamodule, split, match, positions, views, config, options)


def choose_faces(
    datamodule: FaceDataModule, split: SplitName, match: ClassMatch, limit: int | None = None
) -> NDArray[np.int64]:
    """Choose the faces of a split to evaluate: all faces of the common classes, or a stratified sample.

    Args:
        datamodule: the dataset, with its labels read.
        split: the split.
        match: the common classes; faces of dropped classes are left out.
        limit: approximate number of faces; the sample depends only on their paths and labels. None: all.

    Returns:
        Positions within the split, sorted by row of the index.
    """
    part = datamodule.splits[split]
    positions = np.argsort(part.rows)
    positions = positions[match.to_common[part.label[positions]] >= 0]
    if limit is not None and limit < len(positions):
        paths = datamodule.index.path[part.rows[positions]].tolist()
        positions = positions[holdout(part.label[positions], paths, limit / len(positions), seed=0)]
    return positions
