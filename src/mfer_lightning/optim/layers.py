"""Find the layer of each parameter in a timm backbone, for layer-wise learning-rate decay."""

from __future__ import annotations

from types import SimpleNamespace

from timm.models import group_parameters
from torch import nn


def layer_scales(network: nn.Module, layer_decay: float) -> dict[str, tuple[int, float]]:
    """Return the layer and the learning-rate factor of each parameter in the pre-trained backbone.

    Layers are counted by timm's ``group_matcher``, from the stem (0) to the last (n - 1). Its patterns match only
    timm's parameter names, and silently assign all other names to the last layer. A backbone with inserted attention
    has different names and must provide timm's names (``timm_name``, see :class:`mfer_lightning.nn.Backbone`).

    Args:
        network: a module that is or contains a timm model, or a backbone with ``timm_name`` around one.
        layer_decay: d within (0, 1).

    Returns:
        Full parameter name -> (layer i, ``d ** (n - 1 - i)``). Parameters unknown to timm are absent.

    Raises:
        ValueError: if no module of the network has a ``group_matcher``.
        UserError: if the network was loaded for prediction only.

    Example:
        >>> import timm
        >>> model = timm.create_model("resnet10t", num_classes=0)
        >>> scales = layer_scales(model, 0.5)
        >>> scales["conv1.0.weight"], scales["layer4.0.conv1.weight"]
        ((0, 0.0625), (4, 1.0))
    """
    modules = dict(network.named_modules())
    timm_path = next(
        (path for path, module in modules.items() if callable(getattr(module, "group_matcher", None))), None
    )
    if timm_path is None:
        raise ValueError(
            "Expected argument `network` to contain a timm model with `group_matcher` for `layer_decay`, but "
            "it has none. Leave `layer_decay` at None."
        )
    translator = next((path for path, module in modules.items() if hasattr(module, "timm_name")), None)
    path = timm_path if translator is None else translator
    prefix = f"{path}." if path else ""
    original = {}
    for name, _ in modules[path].named_parameters():
        known = name if translator is None else modules[path].timm_name(name)
        if known is not None:
            original[prefix + name] = known
    matcher = modules[timm_path].group_matcher(coarse=False)
    named = SimpleNamespace(named_parameters=lambda: ((known, None) for known in original.values()))
    layers = group_parameters(named, matcher, reverse=True)  # only the names of the module are needed
    last = max(layers.values())
    return {name: (layers[known], layer_decay ** (last - layers[known])) for name, known in original.items()}
