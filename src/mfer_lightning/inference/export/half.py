"""Export a model with its weights in half precision, and compare its predictions with the checkpoint's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mfer_lightning.errors import UserError
from mfer_lightning.files import write_json, write_text
from mfer_lightning.inference.export.atomic_folder import atomic_folder
from mfer_lightning.inference.export.card import model_card
from mfer_lightning.inference.export.parity import Comparison, Faces, compare
from mfer_lightning.inference.export.safetensors_folder import CARD, WEIGHTS, write_weights
from mfer_lightning.inference.model import FERModel
from mfer_lightning.nn.adapter import merge_adapter

#: Largest allowed difference in a probability, or in valence or arousal. Half precision has 11 significant bits.
TOLERANCE = 0.01


def save_half(
    model: FERModel,
    folder: str | Path,
    faces: Sequence[Faces],
    *,
    remarks: Sequence[str] = (),
    replace: bool = False,
) -> list[Comparison]:
    """Write the safetensors layout in half precision, ``export.json`` and a model card.

    For the comparison, the written weights are loaded as float32, so that only their rounding can change predictions.

    Args:
        model: a loaded model.
        folder: written atomically.
        faces: faces for the comparison with the checkpoint.
        remarks: lines for the card, e.g. why validation faces are missing.
        replace: replace an earlier export in that folder.

    Returns:
        The comparisons of the written file.

    Raises:
        UserError: if a weight does not fit into half precision, predictions differ by more than
            :data:`TOLERANCE`, or the folder cannot be written.
    """
    description = {**model.describe(), "torch_dtype": "float16"}
    with atomic_folder(folder, replace=replace) as temporary:
        write_weights(description, halved(merge_adapter(model.network.state_dict())), temporary)
        written = FERModel.from_pretrained(temporary, str(model.device))
        found = [compare(model, written, some) for some in faces]
        worst = max(max(c.largest_difference, c.valence_arousal_difference or 0.0) for c in found)
        if worst > TOLERANCE:
            raise UserError(
                f"half=true changes the predictions of this network by up to {worst:.1e} (allowed: {TOLERANCE:g}), so "
                "nothing was written. Export it without half=true."
            )
        write_json(
            temporary / "export.json",
            {
                "format": "safetensors",
                "half": True,
                "bytes": (temporary / WEIGHTS).stat().st_size,
                "tolerance": TOLERANCE,
                "comparisons": [asdict(c) for c in found],
                "remarks": list(remarks),
                "versions": description["versions"],
            },
        )
        write_text(temporary / CARD, half_card(description, found, remarks))
    return found


def half_card(description: Mapping[str, Any], comparisons: Iterable[Comparison], remarks: Iterable[str]) -> str:
    """Write the model card of an export in half precision.

    Args:
        description: the content of ``config.json``.
        comparisons: comparisons of the written file with the checkpoint.
        remarks: further lines, e.g. why validation faces are missing.

    Returns:
        The card in Markdown.
    """
    lines = [f"Weights in half precision; {comparison.sentence}" for comparison in comparisons]
    return model_card(description, "safetensors", [*lines, *remarks])


def halved(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Round matrices and kernels to half precision; one-dimensional weights stay in float32, integers are unchanged.

    One-dimensional weights (biases, norms, layer scales) are a small part of the file. Layer scales may be as small as
    1e-6, where half precision is inaccurate.

    Raises:
        UserError: for a weight outside the range of half precision.
    """
    return {name: _half(name, value) for name, value in weights.items()}


def _half(name: str, value: Tensor) -> Tensor:
    if not value.is_floating_point() or sum(side > 1 for side in value.shape) < 2:
        return value
    rounded = value.to(torch.float16)
    if not bool(rounded.isfinite().all()):
        raise UserError(
            f"half=true: the weight {name} has values up to {float(value.abs().max()):.1e}, but the limit of "
            "half precision is 65,504. Export the model without half=true."
        )
    return rounded
