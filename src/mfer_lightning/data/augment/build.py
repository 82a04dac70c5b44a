"""Build an augmentation from a name, a configuration or albumentations transforms."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from mfer_lightning.config.augment_forms import with_transforms
from mfer_lightning.config.instantiate import LIBRARIES, instantiate
from mfer_lightning.errors import UserError

if TYPE_CHECKING:
    from mfer_lightning.data.dataset import Change


def build_augment(spec: Any, size: int | None = None) -> Change | None:
    """Build an augmentation.

    Args:
        spec: a name in ``conf/augment``; a mapping with the contents of such a file, or with the ``name`` of a preset
            and flat options of earlier versions that replace values of the preset, e.g. ``{"name": "standard",
            "rotate": 20}``; an albumentations transform (such as ``albumentations.Compose``), or a list of transforms;
            or a function of (images, seed, epoch, rows), which is returned unchanged.
        size: side of the faces in pixels; the augmentation is tested on random images of this size. None: no test.

    Returns:
        The augmentation; None if it does nothing.

    Raises:
        UserError: if a name or an argument is unknown, a value is invalid, or a transform fails.

    Example:
        >>> build_augment({"name": "paper", "flip": 0.3})
        Augment(flip=HorizontalFlip(p=0.3))
    """
    library = sys.modules.get("albumentations")  # a transform can only exist if albumentations was imported
    if library is not None and isinstance(spec, (library.BasicTransform, library.BaseCompose)):
        return build_augment([spec], size)
    if callable(spec):
        return cast("Change", spec)
    if isinstance(spec, Mapping) and "_target_" in spec:
        return build_augment(instantiate(spec, where="augment"), size)
    if spec is None or isinstance(spec, (str, Mapping)):
        steps = with_transforms(spec if isinstance(spec, Mapping) else {"name": spec})
        del steps["name"]
        if not steps:
            return None
        spec = _build(steps)
    from mfer_lightning.data.augment.pipeline import Augment

    try:
        augment = Augment(spec)
    except (ValueError, TypeError) as error:
        raise UserError(f"augment: {error}") from error
    if size is not None:
        augment.try_out(size)
    return augment or None


def describe_augment(augment: Change | None) -> dict[str, Any] | None:
    """Describe an augmentation with plain values, for a run's metadata.

    Returns:
        The result of ``albumentations.to_dict`` for its transforms; None without augmentation, or if the augmentation
        is a user-defined function.
    """
    describe = getattr(augment, "to_dict", None)
    described: dict[str, Any] | None = None if describe is None else describe()
    return described


def _build(steps: Mapping[str, Any]) -> dict[str, Any]:
    import albumentations

    bases = (albumentations.BasicTransform, albumentations.BaseCompose)
    return {
        name: instantiate(
            step, where=f"augment.{name}", base=bases, libraries=LIBRARIES["augment"], construct=_strictly
        )
        for name, step in steps.items()
    }


def _strictly(kind: Any, arguments: Mapping[str, Any]) -> Any:
    """Build a transform, and raise ValueError for any wrong argument.

    albumentations only warns about some wrong arguments, and raises various exceptions for others.
    """
    validated = kind.__init__.__module__ == "albumentations.core.validation"
    try:
        return kind(**arguments, **({"strict": True} if validated else {}))
    except Exception as error:
        refused: list[Any] = getattr(error.__cause__, "errors", list)()  # from pydantic
        if refused and refused[0]["loc"]:
            name, why = refused[0]["loc"][0], refused[0]["msg"]
            said = f"Expected argument `{name}` to be valid ({why}), but got {arguments.get(name)}."
        else:
            said = " ".join(str(error).split())
        raise ValueError(said if isinstance(error, ValueError) else f"{type(error).__name__}: {said}") from error
