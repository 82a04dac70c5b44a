"""Run a model from an ONNX file without torch: aligned faces in, probabilities out."""

from __future__ import annotations

import hashlib
import mmap
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.errors import UserError, check_number
from mfer_lightning.onnx.inspect_file import inspect
from mfer_lightning.onnx.metadata import INPUT, OUTPUTS, VALENCE_AROUSAL, Description
from mfer_lightning.onnx.read_faces import as_faces
from mfer_lightning.plurals import counted
from mfer_lightning.views import Views

try:
    import onnxruntime
except ModuleNotFoundError as missing:
    raise UserError("Running ONNX models needs ONNX Runtime: pip install onnxruntime") from missing

#: Name of the file in a folder written by ``mfer export format=onnx``.
FILE = "model.onnx"
#: Maximum bytes of a batch's faces as floats, before they are resized.
_BATCH_BYTES = 1 << 28
_MOST_MEMORY = 8 << 30

_limited: list[int] = []


@dataclass(frozen=True, eq=False)
class FacePredictions:
    """One row per face.

    Args:
        class_names: the K emotions.
        probabilities: (N,K) float32, rows sum to 1.
        logits: (N,K) float32.
        feature: (N,D) float32, the input of the heads.
        valence_arousal: (N,2) float32 within [-1, 1], or None if the model does not predict them.

    Example:
        >>> p = np.array([[0.25, 0.75]], np.float32)
        >>> print(FacePredictions(("sadness", "happiness"), p, np.log(p), np.zeros((1, 4), np.float32)))
        0: happiness 75.0%, sadness 25.0%
    """

    class_names: tuple[str, ...]
    probabilities: NDArray[np.float32]
    logits: NDArray[np.float32]
    feature: NDArray[np.float32]
    valence_arousal: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.probabilities)

    @property
    def pred(self) -> NDArray[np.int64]:
        """(N,) the most probable class of each face."""
        return np.asarray(self.logits.argmax(axis=1), dtype=np.int64)

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of :attr:`pred`, one per face."""
        return tuple(self.class_names[k] for k in self.pred)

    def __str__(self) -> str:
        lines = []
        for row, p in enumerate(self.probabilities[:20]):
            best = np.argsort(-p, kind="stable")[:3]
            lines.append(f"{row}: " + ", ".join(f"{self.class_names[k]} {p[k]:.1%}" for k in best))
        more = len(self) - len(lines)
        return "\n".join([*lines, *([f"... and {more} more"] if more else [])])


class OnnxModel:
    """An exported model, which includes preprocessing and softmax. It takes aligned uint8 RGB faces.

    Args:
        where: a ``.onnx`` file, or a folder written by ``mfer export``.
        threads: threads per prediction; None: ONNX Runtime decides.
        providers: ONNX Runtime's execution providers, in order of preference.
        verify: compare weights and metadata with the checksum in the file.

    Attributes:
        description: class names, alignment, preprocessing and provenance, from the file's metadata.
        class_names: the K emotions in the order of the probabilities.
        views: views averaged for each face by default.

    Raises:
        UserError: if the file is missing, damaged, unsafe or from another program.
    """

    def __init__(
        self,
        where: str | os.PathLike[str],
        *,
        threads: int | None = None,
        providers: Sequence[str] = ("CPUExecutionProvider",),
        verify: bool = True,
    ) -> None:
        path = Path(where).expanduser()
        self.source = path / FILE if path.is_dir() else path
        notes, graph = inspect(self.source)
        self.description = Description.from_notes(notes, str(self.source), graph if verify else None)
        self.class_names, self.views = self.description.class_names, self.description.views
        limit_memory()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # its errors are also raised as exceptions
        options.add_session_config_entry("session.use_env_allocators", "1")
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            # Without the fallback to other providers, which prints its own messages and hides the error.
            self.session = onnxruntime.InferenceSession(
                str(self.source), options, providers=list(providers), enable_fallback=0
            )
        except Exception as error:  # ONNX Runtime's exceptions share no base class
            raise UserError(f"{self.source} cannot be loaded by ONNX Runtime ({_first_line(error)}).") from error
        self._check_interface()

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The metadata of the file: training, alignment, and the views averaged for each face."""
        return {
            **self.description.more,
            "alignment": self.description.alignment,
            **self.views.to_config(),
            "preprocess": self.description.preprocess,
        }

    def predict(
        self, faces: Any, *, batch_size: int = 64, flip: bool | None = None, shift: float | None = None
    ) -> FacePredictions:
        """Classify aligned faces.

        Args:
            faces: a path, a Pillow image, a uint8 RGB array (H,W), (H,W,3), (N,H,W,3) or (N,3,H,W); or several of
                these. They may differ in size if the model resizes.
            batch_size: faces per batch, at least 1; fewer for very large faces.
            flip: average with the mirrored face; None: as the checkpoint was evaluated.
            shift: average with four copies shifted by this fraction of the side; None: as the checkpoint was evaluated.

        Returns:
            One row per face, in their order.

        Raises:
            UserError: for unreadable files, and if the model's outputs are not probabilities.
            ValueError: for wrong arguments.
        """
        check_number("batch_size", batch_size, 1)
        views = Views.of_metadata(self.metadata, flip, shift)
        parts: list[tuple[NDArray[np.float32], ...]] = []
        batch: list[NDArray[np.uint8]] = []
        for face in as_faces(faces):
            full = len(batch) >= batch_size or (len(batch) + 1) * face.size * 4 > _BATCH_BYTES
            if batch and (full or face.shape != batch[0].shape):
                parts.append(self._run(np.stack(batch), views))
                batch = []
            batch.append(face)
        if batch:
            parts.append(self._run(np.stack(batch), views))
        if not parts:
            raise ValueError("Expected argument `faces` to contain at least one face, but got none.")
        return FacePredictions(self.class_names, *(np.concatenate(x) for x in zip(*parts, strict=True)))

    def embed(
        self, faces: Any, *, batch_size: int = 64, flip: bool | None = None, shift: float | None = None
    ) -> NDArray[np.float32]:
        """Return the features (N,D) of aligned faces; arguments as for :meth:`predict`."""
        return self.predict(faces, batch_size=batch_size, flip=flip, shift=shift).feature

    def classify(self, faces: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
        """Return probabilities (B,K), features (B,D), and valence and arousal (B,2) if the model predicts them.

        Args:
            faces: uint8 (B,H,W,3), RGB.
        """
        probabilities, _, *others = self._run(faces, self.views)
        return probabilities, *others

    def identity(self) -> str:
        """Return the SHA-256 of the file."""
        with self.source.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return hashlib.sha256(content).hexdigest()

    def __repr__(self) -> str:
        said = self.description
        alignment = said.alignment.get("template") if isinstance(said.alignment, Mapping) else said.alignment
        return (
            f"OnnxModel({str(self.source)!r}: {', '.join(said.class_names)}; faces aligned to "
            f"{alignment or 'an unknown template'}, {said.size} pixels; {said.views.words or 'one view'}; "
            f"quantized: {said.quantized})"
        )

    def _run(self, faces: NDArray[np.uint8], views: Views) -> tuple[NDArray[np.float32], ...]:
        side, (height, width) = self.description.size, faces.shape[1:3]
        if not self.description.resizes and (height, width) != (side, side):
            raise ValueError(
                f"Expected faces of {side} x {side} pixels, which this model needs, but got {width} x {height}."
            )
        found = views.average(self._session_run, np.ascontiguousarray(faces.transpose(0, 3, 1, 2)))
        if views.count > 1:  # probabilities of the mean logits, as for the checkpoint
            found[OUTPUTS[0]] = _softmax(found[OUTPUTS[1]])
        p = found[OUTPUTS[0]]
        right = p.shape == (len(faces), len(self.class_names)) and bool(np.isfinite(p).all())
        if not right or not np.allclose(p.sum(axis=1), 1, atol=1e-3) or p.min() < 0:
            raise UserError(
                f"{self.source}: its outputs are not probabilities of {counted(len(self.class_names), 'class')}."
            )
        return tuple(found[name].astype(np.float32) for name in self._outputs)

    def _session_run(self, planes: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        try:
            found = self.session.run(list(self._outputs), {INPUT: np.ascontiguousarray(planes)})
            return dict(zip(self._outputs, found, strict=True))
        except Exception as error:  # see __init__
            raise UserError(
                f"{self.source} failed on {counted(len(planes), 'face')} of {planes.shape[3]} x {planes.shape[2]} "
                f"pixels ({_first_line(error)}). Try a smaller batch_size."
            ) from error

    def _check_interface(self) -> None:
        """Reject a file whose inputs and outputs do not match its metadata."""
        K = len(self.class_names)
        inputs, outputs = self.session.get_inputs(), self.session.get_outputs()
        further = (VALENCE_AROUSAL,) if any(value.name == VALENCE_AROUSAL for value in outputs) else ()
        self._outputs = (*OUTPUTS, *further)
        wrong = [
            f"{which} {[value.name for value in values]}"
            for which, values, legal in (("inputs", inputs, (INPUT,)), ("outputs", outputs, self._outputs))
            if tuple(value.name for value in values) != legal
        ]
        if not wrong:
            if inputs[0].type != "tensor(uint8)" or len(inputs[0].shape) != 4 or inputs[0].shape[1] != 3:
                wrong.append(f"{INPUT} of {inputs[0].type} {inputs[0].shape}")
            odd = [o for o in outputs[:2] if len(o.shape) != 2 or o.shape[1] != K]
            wrong += [f"{o.name} of shape {list(o.shape)} for {counted(K, 'class')}" for o in odd]
            wrong += [f"{o.name} of shape {list(o.shape)}" for o in outputs[3:] if len(o.shape) != 2 or o.shape[1] != 2]
            wrong += [f"{o.name} of {o.type}" for o in outputs if o.type != "tensor(float)"]
        if wrong:
            raise UserError(
                f"{self.source}: its metadata does not match the model ({'; '.join(wrong)}). Export it again."
            )


def limit_memory(most: int | None = None) -> int:
    """Limit the memory that models may allocate in this process.

    Only the first call sets the limit; later calls cannot change it. Loading a model also calls this function.

    Args:
        most: bytes; None: half of this machine's memory, at most 8 GiB.

    Returns:
        The limit of the first call, in bytes. It has no effect if the program has already set one in ONNX Runtime.
    """
    if not _limited:
        limit = min(_MOST_MEMORY, _installed_memory() // 2) if most is None else most
        info = onnxruntime.OrtMemoryInfo(
            "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
        )
        with suppress(RuntimeError):  # the program that imports this has already set a limit
            onnxruntime.create_and_register_allocator(info, onnxruntime.OrtArenaCfg({"max_mem": limit}))
        _limited.append(limit)
    return _limited[0]


def _installed_memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no os.sysconf
        return 2 * _MOST_MEMORY


def _softmax(logits: NDArray[Any]) -> NDArray[np.float32]:
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), dtype=np.float32)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
