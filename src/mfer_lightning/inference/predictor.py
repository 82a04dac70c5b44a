"""Predict photos: find the faces, align them as in training, and classify them in batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.align.aligner import AlignedFace
from mfer_lightning.align.stored_alignment import describe_alignment
from mfer_lightning.confidence import check_uncertain, threshold_for
from mfer_lightning.errors import UserError, check_count
from mfer_lightning.inference.classifier import Classifier, Output
from mfer_lightning.inference.media.detect_faces import Finder, Found, Look
from mfer_lightning.inference.media.photos import MOST_PIXELS, Picture, Pixels, pictures
from mfer_lightning.inference.results import NO_FACE, OF_PICTURE, OK, Embeddings, Face, Prediction, Predictions

#: Maximum number of photos, and bytes of pixels, that wait for a full batch of faces.
MOST_WAITING = 256
MOST_BYTES = 1 << 28
#: Maximum bytes of pixels in a batch. They are converted to floats before they are resized.
_BATCH_BYTES = 1 << 26

#: One photo, its prediction, and the vectors of its faces.
Result = tuple[Picture, Prediction, NDArray[np.float32]]


class Predictor:
    """A trained model for photos, as returned by :func:`mfer_lightning.load_model`.

    The model is in evaluation mode and computes without gradients. The prediction of a face does not depend on the
    other faces of the batch.

    Args:
        classifier: the network with its preprocessing.
        batch_size: faces per batch.
        uncertain: probability below which a prediction is uncertain. None: the model's threshold, if it has one; True:
            the model's threshold, which is then required; False: no prediction is uncertain.

    Attributes:
        threshold: the chosen threshold; None: predictions are never marked as uncertain.

    Example:
        >>> from mfer_lightning import load_model  # doctest: +SKIP
        >>> model = load_model("runs/facs-convnext-dsf-s0-1a2b3c4d")  # doctest: +SKIP
        >>> for face in model.predict("photo.jpg").faces:  # doctest: +SKIP
        ...     print(face.label, face.probability, face.box)
    """

    def __init__(self, classifier: Classifier, *, batch_size: int = 64, uncertain: bool | float | None = None) -> None:
        self.classifier = classifier
        self.threshold = threshold_for(classifier.metadata, check_uncertain(uncertain))
        self.batch_size = check_count("batch_size", batch_size)
        self._finders: dict[str, Finder] = {}

    @property
    def class_names(self) -> tuple[str, ...]:
        """The K emotions in the order of the probabilities."""
        return tuple(self.classifier.class_names)

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The metadata of the model's file: ``dataset``, ``protocol``, ``config``, ``git``, ..."""
        return self.classifier.metadata

    @property
    def precision(self) -> str:
        """The precision of the network, in Lightning's names: ``"32-true"``, ``"bf16-mixed"`` or ``"16-mixed"``."""
        return str(getattr(self.classifier, "precision", "32-true"))

    @property
    def device(self) -> str:
        """The device of the network, e.g. ``"cuda:0"``."""
        return str(getattr(self.classifier, "device", "cpu"))

    @property
    def alignment(self) -> dict[str, Any]:
        """How faces are aligned (:func:`mfer_lightning.align.stored_alignment.describe_alignment`)."""
        stored = self.metadata.get("alignment")
        if isinstance(stored, Mapping):
            return dict(stored)
        trained: Any = self.metadata.get("config")
        dataset: Any = trained.get("dataset", {}) if isinstance(trained, Mapping) else {}
        size = dataset.get("size") if isinstance(dataset, Mapping) else None
        # imported here because it imports Lightning, and only files without a stored alignment need it
        from mfer_lightning.data.datasets.registry import find_dataset

        name = str(self.metadata.get("dataset", ""))
        declared = find_dataset(name)
        return describe_alignment(None, name, size, None if declared is None else declared.template)

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks that apply to every prediction, in sentences."""
        note = str(self.alignment.get("note", ""))
        return (note,) if note else ()

    def predict(
        self,
        source: Any,
        *,
        aligned: bool = False,
        faces: str = "all",
        detector: Mapping[str, Any] | None = None,
        colour: str = "RGB",
        rotate: bool = False,
        second_look: bool = True,
        keep_aligned: bool = False,
        max_pixels: int = MOST_PIXELS,
    ) -> Predictions:
        """Classify the faces of photos.

        Args:
            source: a path (photo, folder, pattern), the bytes of a file, a PIL image, a uint8 array or tensor, or a
                list or other iterable of these, except patterns; see
                :func:`mfer_lightning.inference.media.photos.pictures`.
            aligned: the pictures are already faces, aligned as in training, and are classified unchanged.
            faces: which faces of a photo to use: ``"all"``, ``"largest"``, ``"surest"`` or ``"central"``.
            detector: options of the detector that override the model's own, e.g. ``{"min_score": 0.99}``.
            colour: channel order of arrays, ``"RGB"`` or ``"BGR"``.
            rotate: rotate photos without a face by 90, 180 and 270 degrees and detect again.
            second_look: detect again with a border and a lower threshold in photos where no face has been found.
            keep_aligned: keep the model's input of each face (``face.aligned``).
            max_pixels: larger photos are not decoded.

        Returns:
            One prediction per photo, in the order given. Unreadable photos are included, with the reason.

        Raises:
            UserError: if a path does not exist, or the detector cannot be built.
            ValueError: for an argument that is not a picture.
        """
        look = Look(aligned, faces, detector, rotate, second_look)
        results = self.stream(pictures(source, colour, max_pixels), look, keep_aligned=keep_aligned)
        return Predictions([prediction for _, prediction, _ in results], () if aligned else self.notes)

    def embed(self, source: Any, *, colour: str = "RGB", max_pixels: int = MOST_PIXELS, **options: Any) -> Embeddings:
        """Return the feature vectors of the faces of photos.

        Args:
            source: as for :meth:`predict`.
            colour: as for :meth:`predict`.
            max_pixels: as for :meth:`predict`.
            **options: as for :meth:`stream`.

        Returns:
            (N,D) vectors, one per face, and the predictions for the same faces.
        """
        items, vectors = [], []
        for _, prediction, rows in self.stream(pictures(source, colour, max_pixels), **options):
            items.append(prediction)
            vectors.append(rows)
        filled = [rows for rows in vectors if len(rows)] or [np.zeros((0, 0), dtype=np.float32)]
        return Embeddings(np.concatenate(filled), Predictions(items, () if options.get("aligned") else self.notes))

    def stream(
        self,
        source: Iterable[Picture],
        look: Look | None = None,
        *,
        keep_aligned: bool = False,
        keep_image: bool = False,
        most_waiting: int = MOST_WAITING,
        **options: Any,
    ) -> Iterator[Result]:
        """Classify pictures lazily, with their faces in batches. The source may be endless.

        Args:
            source: the pictures.
            look: how to look for faces.
            keep_aligned: as for :meth:`predict`.
            keep_image: keep the pixels of the pictures; otherwise they are released as soon as possible.
            most_waiting: pictures that may wait for a batch to fill; 1 returns each one at once.
            **options: ``aligned``, ``faces``, ``detector``, ``rotate`` and ``second_look`` as for :meth:`predict`; they
                override ``look``.

        Yields:
            Picture, prediction, and (n,D) vectors of its n faces, in the order of the source.
        """
        found = map(self.finder(look, **options), source)
        for results in self.finish_batches(
            found, keep_aligned=keep_aligned, keep_image=keep_image, most_waiting=most_waiting
        ):
            yield from results
            del results  # it would keep the pixels of this batch until the next one is full

    def finder(self, look: Look | None = None, **options: Any) -> Finder:
        """Return the face finder of this model, built once per ``look``; arguments as in :meth:`stream`."""
        wanted = replace(look or Look(), **options)
        if wanted.key not in self._finders:
            self._finders[wanted.key] = Finder(self.alignment, wanted)
        return self._finders[wanted.key]

    def finish_batches(
        self,
        source: Iterable[Found],
        *,
        keep_aligned: bool = False,
        keep_image: bool = False,
        most_waiting: int = MOST_WAITING,
    ) -> Iterator[list[Result]]:
        """Classify found faces and yield the results batch by batch; arguments and results as in :meth:`stream`.

        The last digits of a probability depend on the number of faces in its batch, because the libraries choose other
        algorithms for very small batches.
        """
        waiting: list[Found] = []
        for found in source:
            if not keep_image:
                found.picture.image = None
            waiting.append(found)
            count, held = sum(len(f.crops) for f in waiting), sum(f.bytes for f in waiting)
            if count >= self.batch_size or len(waiting) >= most_waiting or held > MOST_BYTES:
                yield self._classified(waiting, keep_aligned)
                waiting = []
        if waiting:
            yield self._classified(waiting, keep_aligned)

    def _classified(self, waiting: list[Found], keep_aligned: bool) -> list[Result]:
        crops = [crop for found in waiting for crop in found.crops]
        probabilities, vectors, *others = self.classify(crops)
        affect = others[0].tolist() if others else [None] * len(crops)
        results, start = [], 0
        for found in waiting:
            stop = start + len(found.crops)
            faces = []
            mine = zip(probabilities[start:stop], found.crops, affect[start:stop], strict=True)
            for number, (row, crop, values) in enumerate(mine):
                seen = None if found.faces is None else found.faces[number]
                shares = dict(zip(self.class_names, map(float, row), strict=True))
                face = _face(number, shares, seen, found.qualities[number], crop if keep_aligned else None)
                face = face if self.threshold is None else replace(face, threshold=self.threshold)
                faces.append(face if values is None else replace(face, valence=values[0], arousal=values[1]))
            said = {name: getattr(found.picture, name) for name in OF_PICTURE}
            if said["status"] == OK and not faces:
                said["status"] = NO_FACE
            results.append((found.picture, Prediction(faces=tuple(faces), **said), vectors[start:stop]))
            start = stop
        return results

    def classify(self, crops: list[Pixels]) -> Output:
        """Return probabilities (N,K) and vectors (N,D) of N aligned uint8 (H,W,3) RGB faces of any sizes.

        A model that predicts valence and arousal also returns them, (N,2).

        Raises:
            UserError: if the network's outputs are not finite.
        """
        order = sorted(range(len(crops)), key=lambda i: crops[i].shape)
        parts: list[tuple[list[int], Output]] = []
        while order:
            shape = crops[order[0]].shape
            most = max(1, min(self.batch_size, _BATCH_BYTES // crops[order[0]].nbytes))
            chosen = [i for i in order[:most] if crops[i].shape == shape]
            order = order[len(chosen) :]
            parts.append((chosen, self.classifier.classify(np.stack([crops[i] for i in chosen]))))
        if not parts:
            return np.zeros((0, len(self.class_names)), np.float32), np.zeros((0, 0), np.float32)
        back = np.argsort([i for chosen, _ in parts for i in chosen])
        found = tuple(np.concatenate(columns)[back] for columns in zip(*(part for _, part in parts), strict=True))
        if not all(np.isfinite(values).all() for values in (found[0], *found[2:])):
            raise UserError(
                "The model's outputs are not finite. Its weights are damaged, or training diverged. Use another "
                "checkpoint."
            )
        return found

    def __repr__(self) -> str:
        trained = self.metadata.get("protocol") or self.metadata.get("dataset") or "unknown"
        return f"Predictor({', '.join(self.class_names)}; trained on {trained}; {self.alignment.get('template')})"


def _face(
    number: int, shares: Mapping[str, float], found: AlignedFace | None, quality: str, crop: Pixels | None
) -> Face:
    if found is None:
        return Face(number, shares, quality=quality, aligned=crop)
    seen = found.detection
    x, y, width, height = (round(float(v), 2) for v in seen.box)
    return Face(
        number,
        shares,
        box=(x, y, width, height),
        landmarks=tuple((round(float(x), 2), round(float(y), 2)) for x, y in seen.landmarks),
        confidence=round(float(seen.score), 6),
        residual=round(found.residual, 6),
        quality=quality,
        aligned=crop,
    )
