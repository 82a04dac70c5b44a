"""Synthetic faces driven by the Facial Action Coding System: the default dataset, rendered on this machine.

Nothing is downloaded: the renderer (:mod:`mfer_lightning.data.facs`) draws each face once and stores it in the cache.
The complete ground truth is known: one emotion or a blend of two, action units, person, pose, occlusion. Train, val and
test have different people. Licence: MIT, like this package; the faces do not depict real people.

Classes: neutral, happiness, sadness, surprise, fear, disgust, anger, contempt, as in AffectNet.
"""

from __future__ import annotations

import hashlib
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import mfer_lightning.data.facs as renderer
from mfer_lightning.data.datasets.base import FaceDataModule
from mfer_lightning.data.datasets.declaration import DatasetInfo, Layout
from mfer_lightning.data.facs import FacsGenerator, FacsLabels
from mfer_lightning.data.images.sources import ImageSource
from mfer_lightning.data.index import PARTITIONS, FaceIndex
from mfer_lightning.data.protocols import Protocol
from mfer_lightning.data.targets import VOTE_RULES
from mfer_lightning.emotions import EMOTIONS
from mfer_lightning.errors import UserError

#: Attributes that the renderer derives from the action units (:mod:`mfer_lightning.data.facs.affect`).
AFFECT = ("valence", "arousal")

RENDERED = Layout("rendered", "nothing: the faces are rendered")

INFO = DatasetInfo(
    name="facs",
    title="FACS faces",
    paper="Ekman, Friesen: Facial Action Coding System, 1978 (the action units); renderer by mfer_lightning",
    licence="Synthetic faces, rendered by mfer_lightning (MIT licence); they do not depict real people.",
    licence_id="mit",
    access="they are rendered on your machine.",
    class_names=EMOTIONS,
    targets=("label", *VOTE_RULES),
    size=64,
    template="facs-64",  # measured with benchmarks/dataset_templates.py
    alignment="none: position, scale and pose vary with dataset.difficulty",
    layouts=(RENDERED,),
    protocols=(Protocol("facs@native", EMOTIONS, val="val"),),
)


class FacsSource:
    """Images that are rendered instead of read from files.

    Args:
        index: the faces; within each partition, they are numbered from 0 in order.
        generator: renderer of the faces.
    """

    def __init__(self, index: FaceIndex, generator: FacsGenerator) -> None:
        self.generator = generator
        self.index = index
        self._number = np.zeros(len(index), dtype=np.int64)
        for partition in PARTITIONS:
            rows = np.flatnonzero(index.partition == partition)
            self._number[rows] = np.arange(len(rows))

    def name(self, row: int) -> str:
        """Return the name of a face, in the form of a path."""
        return str(self.index.path[row])

    def read(self, row: int) -> NDArray[np.uint8]:
        """Render the face of a row, (S,S,3) RGB."""
        return self.generator.image(str(self.index.partition[row]), int(self._number[row]))

    def fingerprint(self, rows: NDArray[np.int64]) -> str:
        """Hash the code, tables and arguments of the renderer and the face numbers, which determine all pixels."""
        arguments = sorted((k, v) for k, v in vars(self.generator).items() if not k.startswith("_"))
        digest = hashlib.sha256(f"facs {arguments}".encode())
        for file in sorted(Path(str(renderer.__file__)).parent.iterdir()):
            if file.suffix in (".py", ".txt"):
                digest.update(file.read_bytes())
        for row in rows.tolist():
            digest.update(f"{self.index.partition[row]} {self._number[row]}\n".encode())
        return digest.hexdigest()


class FacsDataModule(FaceDataModule):
    """Synthetic faces for Lightning: :mod:`mfer_lightning.data.datasets.facs`.

    Protocol: ``native``. Targets: ``majority`` (the dominant emotion), ``crossentropy`` or ``probability`` (the true
    blend, as a distribution or sampled whenever a face is loaded), ``votes``, ``argmax`` or ``multi`` (from
    the simulated annotators).

    Args:
        train_size: number of training faces.
        val_size: number of validation faces.
        test_size: number of test faces; may be 0.
        size: side of the faces in pixels.
        difficulty: strength of pose, lighting, blur and noise, and subtlety of expressions, 0 to 1.
        ambiguity: fraction of faces that blend two emotions.
        occlusion: fraction of faces that are partly occluded.
        imbalance: size ratio of the most to the least frequent class in training, at least 1.
        annotators: number of votes per face.
        data_seed: random seed of the faces, independent of the ``seed`` of the run.
        root: ignored, because faces are rendered.
        options: arguments of :class:`FaceDataModule`.

    Raises:
        UserError: if an argument is out of range.
    """

    info = INFO

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
        self.sizes = {"train": train_size, "val": val_size, "test": test_size}
        for part, faces in self.sizes.items():
            least = 0 if part == "test" else 1
            if faces < least:
                raise UserError(f"dataset.{part}_size={faces} is out of range: it must be at least {least}.")
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
        """Return the labels of all faces from the generator, without rendering the faces."""
        labels = {part: self.generator.labels(part, n) for part, n in self.sizes.items()}
        partition = np.concatenate([np.full(n, part) for part, n in self.sizes.items()])
        columns: dict[str, NDArray[Any]] = {
            column.name: np.concatenate([getattr(labels[part], column.name) for part in PARTITIONS])
            for column in fields(FacsLabels)
        }
        return FaceIndex(
            dataset=self.dataset,
            layout=f"{RENDERED.name} at {self.generator.size} px",
            root=self.root,
            class_names=EMOTIONS,
            path=np.array([f"{part}/{i:06d}.png" for part, n in self.sizes.items() for i in range(n)]),
            partition=partition,
            label=columns["label"],
            votes=columns["votes"],
            vote_names=EMOTIONS,
            mixture=columns["target"],
            group=columns["identity"],
            attributes={name: columns[name] for name in ("skin", "age", "occluded", "ambiguous", *AFFECT)},
        )

    def make_source(self, index: FaceIndex) -> ImageSource:
        """Return the renderer."""
        return FacsSource(index, self.generator)
