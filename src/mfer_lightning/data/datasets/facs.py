"""The rendered faces for Lightning: the embedded default dataset."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.data.datasets.base import FaceDataModule
from mfer_lightning.data.facs import FacsGenerator
from mfer_lightning.data.images.decode import ImageSource
from mfer_lightning.data.index import PARTITIONS, FaceIndex
from mfer_lightning.data.readers.layouts import FACS
from mfer_lightning.emotions import CLASS_ORDERS
from mfer_lightning.errors import UserError


class FacsSource:
    """Images that are drawn rather than read.

    Args:
        index: the faces, in partitions that hold faces 0 to n - 1 in order.
        generator: draws them.
    """

    def __init__(self, index: FaceIndex, generator: FacsGenerator) -> None:
        self.generator = generator
        self.index = index
        self._number = np.zeros(len(index), dtype=np.int64)
        for partition in PARTITIONS:
            rows = np.flatnonzero(index.partition == partition)
            self._number[rows] = np.arange(len(rows))

    def __len__(self) -> int:
        return len(self.index)

    def name(self, row: int) -> str:
        """Return the face's made-up name."""
        return str(self.index.path[row])

    def read(self, row: int) -> NDArray[np.uint8]:
        """Draw the face of a row, (S,S,3) RGB."""
        return self.generator.image(str(self.index.partition[row]), int(self._number[row]))

    def fingerprint(self, rows: NDArray[np.int64]) -> str:
        """Hash the renderer's source code and arguments, and the faces' numbers: they determine every pixel."""
        arguments = sorted((k, v) for k, v in vars(self.generator).items() if not k.startswith("_"))
        digest = hashlib.sha256(f"facs {arguments}".encode())
        import mfer_lightning.data.facs as package

        for file in sorted(Path(package.__file__ or "").parent.glob("*.py")):
            digest.update(file.read_bytes())
        for row in rows.tolist():
            digest.update(f"{self.index.partition[row]} {self._number[row]}\n".encode())
        return digest.hexdigest()


class FacsDataModule(FaceDataModule):
    """Synthetic faces driven by the Facial Action Coding System (:mod:`mfer_lightning.data.facs`).

    Nothing is downloaded: faces are drawn once into the cache. Train, val and test hold different people. Protocol:
    ``native``. Targets: ``majority`` (the dominant emotion), ``crossentropy`` or ``probability`` (the true blend, as it
    is or drawn from anew at each visit), ``votes``, ``argmax`` or ``multi`` (of the simulated annotators).

    Args:
        train_size: number of training faces.
        val_size: number of validation faces.
        test_size: number of test faces, may be 0.
        size: side of the faces in pixels.
        difficulty: 0 to 1: pose, light, blur, noise, subtlety.
        ambiguity: share of faces that blend two emotions.
        occlusion: share of faces that are partly hidden.
        imbalance: ratio of the most to the least frequent class in training.
        annotators: votes a face.
        data_seed: which population; independent of the run's ``seed``.
        root: not used; faces are drawn, not read.
        options: as :class:`FaceDataModule`.
    """

    dataset = "facs"

    def __init__(
        self,
        *,
        train_size: int = 12_000,
        val_size: int = 1_000,
        test_size: int = 2_000,
        size: int = 64,
        difficulty: float = 0.5,
        ambiguity: float = 0.1,
        occlusion: float = 0.03,
        imbalance: float = 1.0,
        annotators: int = 10,
        data_seed: int = 0,
        root: str | Path = "facs",
        **options: Any,
    ) -> None:
        super().__init__(root, size=size, **options)
        for name, value, least in (
            ("train_size", train_size, 1),
            ("val_size", val_size, 1),
            ("test_size", test_size, 0),
        ):
            if value < least:
                raise UserError(f"dataset.{name}={value} is not possible: it must be at least {least}.")
        self.sizes = {"train": train_size, "val": val_size, "test": test_size}
        try:
            self.generator = FacsGenerator(
                size=size,
                seed=data_seed,
                difficulty=difficulty,
                ambiguity=ambiguity,
                occlusion=occlusion,
                annotators=annotators,
                imbalance=imbalance,
            )
        except ValueError as error:
            raise UserError(f"dataset: {error}") from error

    def read(self) -> FaceIndex:
        """Ask the generator for the labels of all faces; none is drawn."""
        labels = {part: self.generator.labels(part, n) for part, n in self.sizes.items()}
        partition = np.concatenate([np.full(n, part) for part, n in self.sizes.items()])
        columns: dict[str, NDArray[Any]] = {
            name: np.concatenate([getattr(labels[part], name) for part in PARTITIONS])
            for name in ("label", "votes", "target", "identity", "skin", "age", "occluded", "ambiguous")
        }
        return FaceIndex(
            dataset=self.dataset,
            layout=f"{FACS} at {self.generator.size} px",
            root=self.root,
            class_names=CLASS_ORDERS["facs"],
            path=np.array([f"{part}/{i:06d}.png" for part, n in self.sizes.items() for i in range(n)]),
            partition=partition,
            label=columns["label"],
            votes=columns["votes"],
            vote_names=CLASS_ORDERS["facs"],
            mixture=columns["target"],
            group=columns["identity"],
            attributes={name: columns[name] for name in ("skin", "age", "occluded", "ambiguous")},
        )

    def make_source(self, index: FaceIndex) -> ImageSource:
        """Return the renderer."""
        return FacsSource(index, self.generator)
