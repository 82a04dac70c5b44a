"""Formats of an augmentation in a configuration: a list of named transforms, or the older flat options.

``conf/augment/*.yaml`` lists named transforms in order. Earlier versions had presets in Python: a configuration
contained the name of a preset, and options such as ``rotate`` that replaced options of the preset. Stored
configurations may use that format, the command line still accepts it, and run folder names are derived from it. Imports
neither torch nor albumentations.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import yaml

from mfer_lightning.config.location import config_dir
from mfer_lightning.errors import UserError, nearest

#: Older option -> its transform and argument.
FLAT: Mapping[str, tuple[str, str]] = {
    "flip": ("flip", "p"),
    "shift": ("warp", "shift"),
    "scale": ("warp", "scale"),
    "rotate": ("warp", "rotate"),
    "brightness": ("light", "brightness"),
    "contrast": ("light", "contrast"),
}
_TARGETS = {
    "flip": "albumentations.HorizontalFlip",
    "warp": "mfer_lightning.data.augment.RandomWarp",
    "light": "mfer_lightning.data.augment.RandomLight",
}
#: Older option: a list of additional transforms, each with its albumentations class as ``name``.
_MORE = "transforms"


@cache
def presets() -> Mapping[str, Mapping[str, Any]]:
    """Read the augmentations of this package: name -> named transforms in ``conf/augment/<name>.yaml``.

    Example:
        >>> list(presets()), list(presets()["standard"])
        (['field', 'none', 'paper', 'standard', 'strong'], ['flip', 'warp', 'light'])
    """
    found = {}
    for path in sorted((config_dir() / "augment").glob("*.yaml")):
        node = yaml.safe_load(path.read_text(encoding="utf-8"))
        found[node.pop("name")] = node
    return found


def with_transforms(node: Mapping[str, Any]) -> dict[str, Any]:
    """Convert an augmentation in any format to named transforms.

    Args:
        node: ``name`` and transforms; or the ``name`` of a preset and older options.

    Returns:
        ``name`` and transforms, in order, without those that are set to null.

    Raises:
        UserError: for an unknown preset, an unknown option, or an entry that is not a transform.

    Example:
        >>> with_transforms({"name": "paper", "flip": 0.3})
        {'name': 'paper', 'flip': {'_target_': 'albumentations.HorizontalFlip', 'p': 0.3}}
    """
    name = node.get("name") or "none"
    given = {k: v for k, v in node.items() if k != "name"}
    options = {k: v for k, v in given.items() if _is_older(k, v)}
    if len(options) == len(given) and name not in presets():
        raise UserError(f"augment={name} is not an augmentation: {nearest(str(name), presets())}")
    steps = {k: None if k in options else v for k, v in given.items()}
    if len(options) == len(given):
        steps = dict(presets()[name])
    for key, value in steps.items():
        if value is not None:
            _check_transform(key, value, [k for k in steps if k not in (key, *options)])
    if _MORE in options:  # replaces the preset's additional transforms
        steps = {k: v for k, v in steps.items() if k in _TARGETS or k not in presets().get(name, ())}
    for option, (step, argument) in FLAT.items():
        if option in options:
            steps[step] = {**(steps.get(step) or {"_target_": _TARGETS[step]}), argument: options[option]}
    found = {k: v for k, v in steps.items() if v is not None}
    more = options.get(_MORE, [])
    if not isinstance(more, (list, tuple)) or not all(isinstance(spec, Mapping) for spec in more):
        raise UserError(f"augment.{_MORE} must be a list of transforms, each with its `_target_` and arguments.")
    found |= {f"{_MORE}[{i}]": _renamed(spec) for i, spec in enumerate(more)}
    return {"name": name, **found}


def _is_older(key: str, value: Any) -> bool:
    """Whether a key and its value are an older option. ``flip`` is also the name of a transform."""
    return key in (*FLAT, _MORE) and value is not None and not isinstance(value, Mapping)


def _check_transform(key: str, value: Any, others: list[str]) -> None:
    if not isinstance(value, Mapping):
        raise UserError(f"augment.{key} is not an option of the augmentation: {nearest(key, [*others, *FLAT, _MORE])}")
    if key == _MORE:
        example = f", e.g. augment.{others[0]}.p=0.1. The names are {', '.join(others)}." if others else "."
        raise UserError(
            f"augment.{_MORE} is a list, whose items cannot be changed one by one. Change a transform by name{example}"
        )
    if "_target_" not in value:
        raise UserError(
            f"augment.{key} has no `_target_`, which names its transform. Add a transform with "
            f"+augment.{key}._target_=albumentations.<class>. Existing transforms: {', '.join(others) or 'none'}."
        )


def _renamed(spec: Any) -> Any:
    """Convert ``name`` to ``_target_`` in a transform and its nested transforms."""
    if not isinstance(spec, Mapping) or "_target_" in spec:  # build_augment rejects values that are not transforms
        return spec
    options = {k: v for k, v in spec.items() if k != "name"}
    if isinstance(options.get(_MORE), (list, tuple)):
        options[_MORE] = [_renamed(inner) for inner in options[_MORE]]
    return {"_target_": f"albumentations.{spec.get('name')}", **options}


def first_form(node: Any) -> Any:
    """Convert an augmentation to the oldest format, from which the hash in the name of a run is computed.

    An unmodified preset is reduced to its name and the older options given with it. In all other cases, the order of
    the transforms is stored explicitly, because the hash does not depend on the order of a mapping.

    Example:
        >>> first_form({"name": "paper", "flip": {"_target_": "albumentations.HorizontalFlip", "p": 0.5}})
        {'name': 'paper'}
        >>> first_form({"name": "standard", "rotate": 20})
        {'name': 'standard', 'rotate': 20}
    """
    if not isinstance(node, Mapping) or "_target_" in node:
        return node
    preset = presets().get(str(node.get("name")), {})
    changed = {k for k, v in preset.items() if node.get(k) != v and not (k in FLAT and _is_older(k, node.get(k)))}
    if not changed and [k for k in node if k != "name"][: len(preset)] == list(preset):
        node = {k: v for k, v in node.items() if k not in preset or v != preset[k]}
    transforms = [k for k, v in node.items() if isinstance(v, Mapping) or v is None]
    return {**node, "order": transforms} if len(transforms) > 1 else dict(node)
