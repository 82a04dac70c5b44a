"""The interface of a trained model that a predictor requires, and its implementation in torch.

torch is imported only when it is needed, so that ONNX models run without it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.views import Views

if TYPE_CHECKING:
    from mfer_lightning.inference.model import FERModel

Batch = NDArray[np.uint8]
#: Probabilities (B,K), features (B,D), and valence and arousal (B,2) if the model predicts them.
Output = tuple[NDArray[np.float32], ...]


class Classifier(Protocol):
    """A classifier of aligned faces. Any class with these four members can be passed to a predictor."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """The K emotions in the order of the probabilities."""
        ...

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The metadata of the model's file: ``dataset``, ``alignment``, ``config``, ..."""
        ...

    def identity(self) -> str:
        """Return a hash of weights and preprocessing, which is equal for equal models, wherever their files are."""
        ...

    def classify(self, faces: Batch) -> Output:
        """Return probabilities (B,K) and features (B,D), float32, for uint8 (B,H,W,3) RGB faces.

        A model that predicts valence and arousal also returns them, (B,2) within [-1, 1].
        """
        ...


class TorchClassifier:
    """A model loaded by :func:`mfer_lightning.inference.model.read_model`.

    Args:
        model: network and preprocessing.
        views: views averaged for each face; None: those stored with the model.

    Attributes:
        class_names: the K emotions in the order of the probabilities.
        metadata: the metadata in the checkpoint.
    """

    def __init__(self, model: FERModel, views: Views | None = None) -> None:
        self.model = model
        self.views = Views.of_metadata(model.metadata) if views is None else views
        self.class_names = model.class_names
        self.metadata = model.metadata

    @property
    def precision(self) -> str:
        """The precision of the network."""
        return self.model.precision

    @property
    def device(self) -> str:
        """The device of the network."""
        return str(self.model.device)

    def identity(self) -> str:
        """Return a hash of class names, preprocessing, views, alignment, temperature and every weight."""
        # without a shift, the hash is the same as in older versions, so that their prediction folders can be resumed
        views = self.views.to_config() if self.views.shift else self.views.flip
        described = [self.class_names, self.model.preprocess.to_config(), views, self.metadata.get("alignment")]
        if self.model.temperature != 1:
            described.append(self.model.temperature)
        digest = hashlib.sha256(json.dumps(described, sort_keys=True, default=str).encode())
        for name, value in self.model.network.state_dict().items():
            digest.update(f"{name} {tuple(value.shape)}".encode())
            digest.update(np.ascontiguousarray(value.detach().float().cpu().numpy()).tobytes())
        return digest.hexdigest()

    def classify(self, faces: Batch) -> Output:
        """Classify uint8 (B,H,W,3) RGB faces; the results are float32 in any precision."""
        import torch

        batch = torch.from_numpy(np.ascontiguousarray(faces))
        if self.model.device.type == "cuda":  # transfer first, then transpose on the GPU
            batch = batch.pin_memory().to(self.model.device, non_blocking=True)
        batch = batch.permute(0, 3, 1, 2).contiguous()
        output = self.model(batch, views=self.views)
        probabilities = output["logits"].double().softmax(1).float().cpu().numpy()
        others = (output[name].float().cpu().numpy() for name in ("feature", "valence_arousal") if name in output)
        return probabilities, *others
