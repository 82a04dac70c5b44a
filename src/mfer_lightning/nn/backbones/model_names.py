"""Reject model names that timm does not know and suggest the nearest ones."""

from __future__ import annotations

import difflib

import timm

from mfer_lightning.errors import UserError, nearest
from mfer_lightning.nn.backbones.faces import FACE_NETWORKS

_SHOWN = 3


def check_model_name(name: str) -> None:
    """Reject a name that is not a timm model, or whose tag (after the dot) does not name weights of that model.

    Args:
        name: e.g. ``"convnext_tiny"``, ``"convnext_tiny.dinov3_lvd1689m"``.

    Raises:
        UserError: with the nearest models or tags.
    """
    if not timm.is_model(name):
        raise UserError(
            f"Unknown backbone '{name}': {_nearest_models(name)} Legal names are timm's models "
            "(convnext_tiny, resnet18, "
            "vit_small_patch16_224, ...; `timm.list_models('*convnext*')` in Python lists the models of a "
            f"family) and the face networks {', '.join(FACE_NETWORKS)}."
        )
    model, _, tag = name.partition(".")
    try:
        timm.get_pretrained_cfg(name)
    except RuntimeError as error:
        tags = [known.partition(".")[2] for known in timm.list_pretrained(f"{model}.*")]
        hint = nearest(tag, tags) if tags else "timm has no weights for this model."
        raise UserError(
            f"Unknown backbone '{name}': '{model}' is valid without a tag, but '{tag}' is not a weights tag of "
            f"'{model}': {hint}"
        ) from error


def _nearest_models(name: str) -> str:
    """Return models that start with or contain the given name, otherwise those with a similar spelling."""
    stem = name.rpartition("/")[2].partition(".")[0]  # people also write timm/<model>
    known: list[str] = timm.list_models()
    inside = [model for model in known if len(stem) > 2 and stem in model]
    inside.sort(key=lambda model: (not model.startswith(stem), not timm.is_model_pretrained(model), len(model)))
    if inside:
        return "did you mean " + " or ".join(f"'{model}'" for model in inside[:_SHOWN]) + "?"
    close = difflib.get_close_matches(stem, known, n=_SHOWN, cutoff=0.5)
    return nearest(stem, close) if close else "no model has a similar name."
