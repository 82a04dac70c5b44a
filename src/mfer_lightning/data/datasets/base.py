"""Base class of all Lightning datamodules: from label files to batches."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import cv2
import numpy as np
from lightning.pytorch.callbacks import BatchSizeFinder
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from mfer_lightning.data.alignment import read_alignment
from mfer_lightning.data.augment.build import build_augment
from mfer_lightning.data.dataset import Change, FaceDataset, ImageStore, as_is
from mfer_lightning.data.datasets.declaration import DatasetInfo
from mfer_lightning.data.datasets.described import DescribedDataModule
from mfer_lightning.data.datasets.lookalikes import refuse_lookalike
from mfer_lightning.data.datasets.registry import get_protocol, register
from mfer_lightning.data.images.cache import default_cache_dir
from mfer_lightning.data.images.sources import FileSource, ImageSource
from mfer_lightning.data.index import FaceIndex
from mfer_lightning.data.labels.image_files import unreadable
from mfer_lightning.data.protocols import Protocol
from mfer_lightning.data.samplers import SAMPLERS, EvalSampler, TrainSampler, world
from mfer_lightning.data.splits import Split, make_splits
from mfer_lightning.data.training_set import NoiseManifest, change_training_set, fitting_batch
from mfer_lightning.data.workers import start_worker
from mfer_lightning.errors import UserError, nearest

SplitName = Literal["train", "val", "test"]


class FaceDataModule(DescribedDataModule, ABC):
    """Faces of one dataset under one protocol.

    A subclass has a class attribute :attr:`info`, which registers the dataset under its name, and a method
    :meth:`read`. If its images are not files, it also overrides :meth:`make_source`.

    It works with any Lightning Trainer. Each face is evaluated once with either value of ``use_distributed_sampler``.
    Most arguments, such as ``batch_size``, are attributes; those with plain values are also in ``hparams``.

    After :meth:`setup`, it has ``index`` (the content of the files), ``splits`` (the result of the protocol),
    ``class_names``, ``num_classes``, ``class_counts`` (training faces per class), ``protocol``, ``size`` (side of the
    stored images in pixels), ``data_hash``, ``notes`` (sentences for the user), ``noise_manifest``, ``alignment``
    (settings saved by ``mfer align``, or None), ``train_dataset``, ``val_dataset``, ``test_dataset`` (None if empty).

    Args:
        root: the dataset's folder.
        name: name of the dataset, if a class declares several (``affectnet7``); None: the first.
        protocol: name of the protocol without the dataset; None: the default of the dataset.
        fold: test fold, from 0, for protocols with folds; None: the first.
        target: rule of the training target, :data:`~mfer_lightning.data.targets.TARGET_RULES`; None: the protocol's.
        augment: an argument of :func:`~mfer_lightning.data.augment.build_augment`: a name, one or several
            albumentations transforms, a mapping, or a function (:data:`~mfer_lightning.data.dataset.Change`).
        sampler: ``"shuffle"``, ``"balanced"`` or ``"sqrt"``.
        batch_size: total training batch size over all ranks; None: 64, or the whole set if it is smaller.
        eval_batch_size: total evaluation batch size over all ranks; None: ``batch_size``.
        num_workers: number of loader workers per rank.
        pin_memory: whether to copy batches to pinned memory for the GPU.
        size: side of the stored images in pixels; None: original size, if it is the same for all.
        cache: ``"memmap"`` (decode once, into a file) or ``"none"`` (decode whenever a face is loaded).
        cache_dir: folder of the caches; None: ``MFER_CACHE`` or ``~/.cache/mfer_lightning``.
        seed: random seed of the run, for order, augmentation and sampled targets.
        label_noise: fraction of the training labels flipped to another class.
        label_noise_seed: random seed of the flips, separate from ``seed``, so that runs can share the noise.
        trust_labels: do not reject files whose names or class counts match those of another dataset.
        relabel: table of image names and labels that replace the labels of training faces.
        exclude: training faces to leave out: a text or csv file of image names, the name of a shipped list, or several.
        hold_out: part of the training faces to leave out, for a label audit: ``"1/3"``, the first of three; None: none.
        train_faces: number of training faces to use, selected by ``seed``; None: all.
        track_test: add the test set as a second validation set, to record its metrics (never used for selection).
        shrink_batch: if ``batch_size`` is larger than the training set, reduce it instead of raising an error.

    Raises:
        ValueError: if a number is out of range.
        UserError: if a name is unknown, the protocol has no such fold, or the augmentation is invalid.
    """

    #: The declaration of the dataset; several if one class reads variants of a dataset.
    info: ClassVar[DatasetInfo | tuple[DatasetInfo, ...]]
    #: Name of the dataset in protocols and results.
    dataset: str = ""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "info" in vars(cls):
            infos = (cls.info,) if isinstance(cls.info, DatasetInfo) else cls.info
            for info in infos:
                register(info, f"{cls.__module__}.{cls.__qualname__}")
            cls.dataset = infos[0].name

    def __init__(
        self,
        root: str | Path,
        *,
        name: str | None = None,
        protocol: str | None = None,
        fold: int | None = None,
        target: str | None = None,
        augment: str | Mapping[str, Any] | Sequence[Any] | Change | None = "paper",
        sampler: Literal["shuffle", "balanced", "sqrt"] = "shuffle",
        batch_size: int | None = None,
        eval_batch_size: int | None = None,
        num_workers: int = 0,
        pin_memory: bool = False,
        size: int | None = None,
        cache: Literal["memmap", "none"] = "memmap",
        cache_dir: str | Path | None = None,
        seed: int = 0,
        label_noise: float = 0.0,
        label_noise_seed: int = 0,
        trust_labels: bool = False,
        relabel: str | Path | None = None,
        exclude: str | Path | Sequence[str | Path] | None = None,
        hold_out: str | None = None,
        train_faces: int | None = None,
        track_test: bool = False,
        shrink_batch: bool = False,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)  # collects the arguments of the subclass as well
        self.keep_plain_arguments()
        self.root = Path(root).expanduser()
        self.dataset = name or self.dataset
        self.protocol: Protocol = get_protocol(self.dataset, protocol).at_fold(fold)
        self.target = target
        self.augment: Change | None = build_augment(augment, size)
        if sampler not in SAMPLERS:
            raise UserError(f"sampler={sampler} is not a sampler: {nearest(str(sampler), SAMPLERS)}")
        if cache not in ("memmap", "none"):
            raise UserError(f"dataset.cache={cache} is not a cache mode: {nearest(str(cache), ('memmap', 'none'))}")
        self.sampler, self.seed = sampler, seed
        self.batch_size: int = 64 if batch_size is None else batch_size
        self.shrink_batch = shrink_batch or batch_size is None
        self.eval_batch_size = self.batch_size if eval_batch_size is None else eval_batch_size
        self.num_workers, self.pin_memory, self.size = num_workers, pin_memory, size
        self.cache_dir = None if cache == "none" else Path(cache_dir).expanduser() if cache_dir else default_cache_dir()
        self.label_noise, self.label_noise_seed, self.hold_out = label_noise, label_noise_seed, hold_out
        self.trust_labels, self.relabel = trust_labels, relabel
        self.exclude = (exclude,) if isinstance(exclude, str | Path) else tuple(exclude or ())
        self.train_faces, self.track_test = train_faces, track_test
        for argument in ("batch_size", "eval_batch_size", "num_workers", "size", "train_faces"):
            value, least = getattr(self, argument), int(argument != "num_workers")
            if value is not None and value < least:
                raise ValueError(f"Expected argument `{argument}` to be at least {least}, but got {value}.")
        if not 0 <= label_noise < 1:
            raise ValueError(f"Expected argument `label_noise` within [0, 1), but got {label_noise}.")

        self._finds_batch_size = False
        self.noise_manifest: NoiseManifest | None = None
        self.data_hash = ""
        self.notes: tuple[str, ...] = ()
        self.alignment: dict[str, Any] | None = None
        self.train_dataset: FaceDataset | None = None
        self.val_dataset: FaceDataset | None = None
        self.test_dataset: FaceDataset | None = None
        self._store: ImageStore

    @abstractmethod
    def read(self) -> FaceIndex:
        """Read the label files of the dataset; raise ``UserError`` for any problem with them."""

    def make_source(self, index: FaceIndex) -> ImageSource:
        """Return the source of the images of an index."""
        return FileSource(index, self.size)

    def choose_protocol(self, index: FaceIndex) -> Protocol:
        """Return the protocol. Datasets whose default protocol depends on the files override this method."""
        return self.protocol

    def setup(self, stage: str | None = None) -> None:
        """Read the labels, create the splits, and prepare the images that the stage needs.

        Args:
            stage: which images to prepare: ``"fit"``: training and validation (with ``track_test``, also test);
                ``"validate"``: validation; ``"test"``: test; ``"predict"``: none; None: all. Loaders prepare the rest.

        Raises:
            UserError: for any problem with the files.
        """
        self._finds_batch_size = any(isinstance(c, BatchSizeFinder) for c in getattr(self.trainer, "callbacks", ()))
        if not self.data_hash:
            self._read(needed=() if stage in ("test", "predict") else ("train", "val"))
        if stage in ("fit", None):
            self._fit_batch(1)  # before decoding images, which takes time
            self._open("train")
        if stage in ("fit", "validate", None):
            self._open("val")
        if stage in ("test", None) or (stage == "fit" and self.track_test):
            self._open("test")

    def _read(self, needed: tuple[str, ...]) -> None:
        try:
            self.index = self.read()
        except OSError as error:  # a folder without permission, a missing disk
            raise unreadable(Path(error.filename or self.root), error) from error
        if not self.trust_labels:
            refuse_lookalike(self.index)
        self.protocol = self.choose_protocol(self.index).with_classes(self.index.class_names)
        self.protocol_splits = make_splits(self.index, self.protocol, self.target, needed)
        self.alignment, alignment_notes = read_alignment(self.index)
        self.splits, self.noise_manifest, changes = change_training_set(
            self.protocol_splits,
            self.index,
            self.protocol.name,
            label_noise=self.label_noise,
            label_noise_seed=self.label_noise_seed,
            train_faces=self.train_faces,
            seed=self.seed,
            relabel=self.relabel,
            exclude=self.exclude,
            hold_out=self.hold_out,
        )
        self._store = ImageStore(self.index, self.make_source(self.index), self.cache_dir)
        self.train_dataset = self._dataset(self.splits.train, training=True)
        self.val_dataset = self._dataset(self.splits.val)
        self.test_dataset = self._dataset(self.splits.test)
        identity = f"{self.index.fingerprint()} {self.protocol.name} {self.protocol.version}"
        identity += f" {self.splits.fingerprint()} {self.size}"
        self.data_hash = hashlib.sha256(identity.encode()).hexdigest()
        self.notes = (*self.index.notes, *self.splits.notes, *alignment_notes, *changes)

    def _dataset(self, split: Split, training: bool = False) -> FaceDataset | None:
        augment = self.augment if training else None
        draws = training and self.splits.target_rule == "probability"
        if len(split) == 0:
            return None
        return FaceDataset(self._store, split, augment, self.seed, draw_target=draws, affect=self.index.valence_arousal)

    def _open(self, name: SplitName) -> None:
        rows = self.splits[name].rows
        for partition in np.unique(self.index.partition[rows]).tolist():
            self._store.open(partition)
        if self.size is None and self._store.shape is not None:
            self.size = self._store.shape[0]

    def train_dataloader(self) -> DataLoader[Any]:
        """Return the loader of training batches; an incomplete last batch is dropped."""
        ranks, rank = self._world()
        self._fit_batch(ranks)
        if self.batch_size % ranks:
            raise UserError(
                f"loader.batch_size={self.batch_size} cannot be divided among {ranks} devices. "
                f"Use a multiple of {ranks}, e.g. {-(-self.batch_size // ranks) * ranks}."
            )
        self._open("train")
        sampler = TrainSampler(self.splits.train.label, self.sampler, self.seed, ranks, rank)
        return self._loader(cast(FaceDataset, self.train_dataset), sampler, self.batch_size // ranks, drop_last=True)

    def _fit_batch(self, ranks: int) -> None:
        """Reduce a batch size that is larger than the training set, or reject it."""
        faces, before = len(self.splits.train), self.batch_size
        shrinks = self.shrink_batch or self._finds_batch_size  # the finder doubles it until it no longer grows
        self.batch_size = fitting_batch(faces, before, ranks, shrinks=shrinks, protocol=self.protocol.name)
        if faces < before and self.shrink_batch:
            self.notes += (f"batch size {before} exceeds the number of training faces ({faces}) and was reduced",)

    def val_dataloader(self) -> DataLoader[Any] | list[DataLoader[Any]]:
        """Return the loader of the validation faces, each once; with ``track_test``, a list with test as the second."""
        names: tuple[SplitName, ...] = ("val", "test") if self.track_test else ("val",)
        if len(self.splits.val) == 0:  # otherwise, Lightning would log the first loader (test) as val
            return []
        loaders = [self.predict_dataloader(name) for name in names if len(self.splits[name])]
        return loaders[0] if len(loaders) == 1 else loaders

    def test_dataloader(self) -> DataLoader[Any]:
        """Return the loader of the test faces, each once."""
        return self.predict_dataloader("test")

    def predict_dataloader(
        self, split: SplitName = "test", positions: NDArray[np.int64] | None = None, change: Change | None = None
    ) -> DataLoader[Any]:
        """Return the loader of the faces of a split, each once, without augmentation.

        Args:
            split: name of the split.
            positions: positions of faces within the split, in order; None: all.
            change: function applied to the images, in the loader workers; None: none.

        Raises:
            UserError: if the split is empty.
        """
        rows = self.splits[split]
        if len(rows) == 0:
            raise UserError(
                f"There is no {split} split to evaluate: {self.index.root} ({self.index.layout}) has no images "
                f"for it under the protocol {self.protocol.name}."
            )
        self._open(split)
        ranks, rank = self._world()
        plain = FaceDataset(self._store, rows.take(positions), change, self.seed, affect=self.index.valence_arousal)
        size = max(1, self.eval_batch_size // ranks)
        return self._loader(plain, EvalSampler(len(plain), ranks, rank), size, drop_last=False)

    def _loader(
        self, dataset: FaceDataset, sampler: TrainSampler | EvalSampler, batch_size: int, drop_last: bool
    ) -> DataLoader[Any]:
        dataset.class_names = tuple(self.class_names)
        cv2.setNumThreads(1)  # before forking workers: OpenCV's threads do not survive a fork, and a worker would hang
        return DataLoader(
            dataset,
            batch_size=batch_size,
            sampler=sampler,
            drop_last=drop_last,
            num_workers=self.num_workers,
            pin_memory=self.pin_memory,
            persistent_workers=self.num_workers > 0,
            prefetch_factor=4 if self.num_workers else None,  # covers a slow read; uint8 batches are small
            collate_fn=as_is,
            worker_init_fn=start_worker,
        )

    def _world(self) -> tuple[int, int]:
        return world() if self.trainer is None else (int(self.trainer.world_size), int(self.trainer.global_rank))
