"""Load weights strictly: account for every tensor, check every shape, load all or nothing, and execute no code."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from mfer_lightning.errors import UserError, expect_choice
from mfer_lightning.nn.adapter import merge_adapter
from mfer_lightning.nn.backbones.trace import timm_facts
from mfer_lightning.nn.base import Network
from mfer_lightning.nn.weights.class_rows import take_class_rows
from mfer_lightning.nn.weights.download import download
from mfer_lightning.nn.weights.face_layouts import face_layout
from mfer_lightning.nn.weights.layouts import Layout, detect, face, meta, own, public, released, timm_layout
from mfer_lightning.nn.weights.nearest_backbone import differ_in_ones, is_counter, nearest_backbone, share_of
from mfer_lightning.nn.weights.number_checks import check_numbers
from mfer_lightning.nn.weights.position_tables import fit_positions
from mfer_lightning.nn.weights.read import listed, read_state, tensors_of
from mfer_lightning.plurals import counted

_SHOWN = 8
_LISTED = 4


@dataclass(frozen=True)
class LoadReport:
    """Which tensors were loaded, kept their initial values, or were dropped.

    Args:
        source: the file, ``"imagenet (timm tag)"`` or ``"none"``.
        layout: description of the detected layout.
        loaded: names of our tensors that were loaded.
        new: names of our tensors that keep their initial values.
        new_parts: the parts that ``new`` belongs to, see :func:`part_of`.
        dropped: names in the file that were not loaded (e.g. a classifier, loss centres, the heads if ``head="new"``).
        colour: channel order that the weights were trained on, ``"RGB"`` or ``"BGR"``; None: not determined by the
            layout. For our own checkpoints, their stored preprocessing applies.
    """

    source: str
    layout: str
    loaded: tuple[str, ...]
    new: tuple[str, ...]
    new_parts: tuple[str, ...]
    dropped: tuple[str, ...]
    colour: str | None = "RGB"

    def __str__(self) -> str:
        text, count = "no weights", ""
        if self.loaded:
            text = f"{counted(len(self.loaded), 'tensor')} from {self.source} ({self.layout} layout)"
            count = f"{len(self.new)} "
        text += f"; {count}new: {', '.join(self.new_parts)}" if self.new_parts else "; nothing new"
        if self.dropped:
            more = ", ..." if len(self.dropped) > _LISTED else ""
            text += f"; {len(self.dropped)} left out: {listed(self.dropped, _LISTED)}{more}"
        return text

    def by_name(self) -> str:
        """List every tensor that was loaded, is new or was left out, one per line."""
        groups = (("loaded", self.loaded), ("new", self.new), ("left out", self.dropped))
        return "\n".join(f"{words} {name}" for words, names in groups for name in names)


def load_weights(
    model: Network, weights: str | Path, *, head: str = "load", rows: Sequence[int] | None = None
) -> LoadReport:
    """Load initial weights into a network.

    Args:
        model: the network; changed in place, and only if everything matches.
        weights: ``"none"``; ``"imagenet"`` (downloaded by timm); or a local ``.safetensors``, ``.pth``, ``.pt``,
            ``.bin`` or ``.ckpt`` file: one of our checkpoints, released MFER, Meta ConvNeXt, timm weights of the
            same backbone, a face-recognition network in its project's layout
            (:data:`~mfer_lightning.nn.weights.face_layouts.LAYOUTS`), or the network in its authors' own layout.
        head: ``"load"`` the classification heads if the file has them, or keep the model's ``"new"`` ones (to fine-tune
            on other classes).
        rows: for each class of the network, its row in the file's heads (files in our own layout); None: the same
            classes in the same order.

    Returns:
        The loaded tensors, the detected layout, and the tensors that keep their initial values.

    Raises:
        UserError: if the file cannot be read or does not match, or the hub is unreachable.
        ValueError: if ``head`` is neither ``"load"`` nor ``"new"``.

    Example:
        >>> from mfer_lightning.nn import MFER
        >>> net = MFER({"name": "convnext_atto", "options": {"depths": [1, 1, 1, 1], "dims": [8, 16, 24, 32]}}, 7)
        >>> print(load_weights(net, "none"))
        no weights; new: attention, backbone, final norm, head
    """
    expect_choice("head", head, ("load", "new"))
    if str(weights) == "none":
        return _report(model, "none", "no", {}, ())
    if str(weights) == "imagenet":
        source, state = download(model)
        return _load(model, state, _timm(model, state), source)
    state = fit_positions(model, merge_adapter(read_state(weights)))
    if rows is not None:
        state = take_class_rows(model, state, rows)
    return _load(model, state, _layout(model, state), str(weights), head)


def load_released_weights(
    model: Network, weights: str | Path | Mapping[str, Tensor], *, require_heads: bool = False
) -> Network:
    """Load a checkpoint in the layout of the authors' released code, strictly.

    Args:
        model: a network with the checkpoint's architecture, e.g. ``MFER()``; changed in place, and only if everything
            matches.
        weights: a file, or its state dict. If the heads ``msc.{0,1,2}`` are absent, the model's own heads stay
            unchanged and a warning is issued.
        require_heads: reject weights without heads, which cannot classify.

    Returns:
        The model.

    Raises:
        UserError: if the layout is different, or a tensor is missing, is unexpected or has the wrong shape.

    Warns:
        UserWarning: if the weights have no heads.
    """
    state = read_state(weights) if isinstance(weights, (str, Path)) else tensors_of(weights, "the state dict")
    source = str(weights) if isinstance(weights, (str, Path)) else "the state dict"
    if detect(state) != "released":
        raise UserError(
            f"{source} is not in the layout of the released MFER code (downsample_layers.*, stages.*, attention as "
            f"the last block of a stage, norm); it starts with {listed(state)}. For other layouts, use load_weights."
        )
    headless = not any(name.startswith("msc.") for name in state)
    if headless and require_heads:
        raise UserError(
            f"{source} has no heads (msc.*). It can initialise training, but it cannot classify. "
            "Fine-tune it first: mfer weights=<file>."
        )
    _load(model, state, _layout(model, state), source)
    if headless:
        warnings.warn(
            f"{source} has no heads (msc.*). The model keeps its own heads, so its logits are meaningless "
            "until they are trained.",
            stacklevel=2,
        )
    return model


def _layout(model: Network, state: Mapping[str, Tensor]) -> Layout:
    kind = detect(state)
    if (theirs := public(model, state)) is not None:
        return theirs
    if kind == "own":
        return own(model.state_dict(), state)
    if kind == "timm":
        return _timm(model, state)
    names = _ours_to_timm(model)
    if "stages.0.blocks.0.conv_dw.weight" not in names.values():
        raise UserError(
            "The weights are those of a ConvNeXt, but the backbone is "
            f"'{model.backbone_config['name']}'{_fitting(state)}."
        )
    if kind == "meta":
        return meta(names)
    attention = {}
    for number in model.config.get("attention", {}).get("stages", []):
        stage = model.backbone.stages[number - 1].module
        blocks = {name.split(".")[3] for name in names.values() if name.startswith(f"{stage}.blocks.")}
        attention[f"backbone.model.{stage}.attention"] = (number - 1, len(blocks))
    return released(model.state_dict(), names, attention)


def _timm(model: Network, state: Mapping[str, Tensor]) -> Layout:
    names = _ours_to_timm(model)
    backbone = model.backbone_config["name"]
    project = face_layout(backbone, names.values(), state)
    if project is not None:
        return face(names, project)
    if not set(state) & set(names.values()):
        raise UserError(
            f"The layout of the weights is not that of released MFER, Meta ConvNeXt, timm '{backbone}' or our "
            f"checkpoints. Their first tensors are {listed(state)}{_fitting(state)}."
        )
    norm = state.get("head.norm.weight")
    head_norm = norm is not None and norm.shape == (model.feature_dim,) and model.backbone_config["norm"] == "layer"
    classifier = timm_facts(model.backbone.model).get("classifier") or ()
    heads = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    # files of older timm versions also contain computed buffers
    buffers = {model.backbone.timm_name(name) for name, _ in model.backbone.named_buffers()}
    computed = {name for name in buffers if name and name not in names.values()}
    return timm_layout(names, head_norm, (*heads, *model.backbone.pruned, *computed))


def _fitting(state: Mapping[str, Tensor], share: float = 0.0) -> str:
    """Name the backbone that matches more than this share of the tensors; empty if there is none."""
    fit = nearest_backbone(state)
    return f"; {fit} matches {fit.share:.0%} of the tensors" if fit is not None and fit.share > share else ""


def _ours_to_timm(model: Network) -> dict[str, str]:
    pairs = ((name, model.backbone.timm_name(name)) for name in model.backbone.state_dict())
    return {f"backbone.{name}": theirs for name, theirs in pairs if theirs is not None}


def _load(model: Network, state: Mapping[str, Tensor], layout: Layout, source: str, head: str = "load") -> LoadReport:
    ours = {theirs: name for name, theirs in layout.names.items()}
    targets = model.state_dict()
    stem = _stem_names(model)
    tensors: dict[str, Tensor] = {}
    dropped: list[str] = []
    problems: list[str] = []
    for theirs, tensor in state.items():
        name = ours.get(theirs)
        if name is None or name not in targets:
            if layout.drops(theirs):
                dropped.append(theirs)
            else:
                problems.append(f"unexpected '{theirs}' {tuple(tensor.shape)}")
        elif head == "new" and name.startswith("head."):
            dropped.append(theirs)
        elif tensor.shape == targets[name].shape:
            tensors[name] = tensor
        elif differ_in_ones(tensor.shape, targets[name].shape):
            tensors[name] = tensor.reshape(targets[name].shape)
        elif layout.backbone_only and name in stem:
            dropped.append(theirs)
        else:
            problems.append(f"'{theirs}' is {tuple(tensor.shape)}, the network's is {tuple(targets[name].shape)}")
    given = {ours[theirs] for theirs in state if theirs in ours}
    counters = set() if any(map(is_counter, given)) else set(filter(is_counter, targets))  # files of torch < 0.4.1
    missing = sorted(set(targets) - given - counters - _optional(model, layout, given, head))
    problems += [f"missing '{layout.names.get(name, name)}' {tuple(targets[name].shape)}" for name in missing]
    if problems:
        if layout.backbone_only:
            _refuse_other_network(model, state, layout, source, len(tensors), len(state) - len(dropped))
        shown = "\n  ".join(problems[:_SHOWN])
        more = f"\n  and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise UserError(
            f"The weights of {source} ({layout.words} layout) do not fit the network; nothing was loaded:\n"
            f"  {shown}{more}\nBuild the network to match the weights (backbone, attention, head, num_classes); "
            "if only the heads differ, load_weights(network, file, head='new') in Python loads everything else."
        )
    check_numbers(tensors, targets, source)
    model.load_state_dict(tensors, strict=False)
    return _report(model, source, layout.words, tensors, dropped, layout.colour)


def _refuse_other_network(
    model: Network, state: Mapping[str, Tensor], layout: Layout, source: str, placed: int, given: int
) -> None:
    """Reject weights that match another backbone better than the network's."""
    known = {name for name in model.state_dict() if name in layout.names and not is_counter(name)}
    counters = sum(map(is_counter, state))
    share = share_of(placed - counters, given - counters, len(known))
    other = _fitting(state, share)
    if other:
        raise UserError(
            f"The weights of {source} are not those of backbone={model.backbone_config['name']}, which matches "
            f"{max(share, 0):.0%} of the tensors{other}. Nothing was loaded. Choose that backbone, or other weights."
        )


def _report(
    model: Network,
    source: str,
    layout: str,
    loaded: Mapping[str, Tensor],
    dropped: Sequence[str],
    colour: str | None = "RGB",
) -> LoadReport:
    counted = not loaded or any(map(is_counter, loaded))
    new = tuple(name for name in model.state_dict() if name not in loaded and (counted or not is_counter(name)))
    parts = tuple(sorted({part_of(model, name) for name in new}))
    return LoadReport(source, layout, tuple(loaded), new, parts, tuple(dropped), colour)


def _optional(model: Network, layout: Layout, given: set[str], head: str) -> set[str]:
    """Return our tensors that may be missing from a file of this layout."""
    starts = {"head": "head.", "valence and arousal": "valence_arousal."}
    if layout.backbone_only:
        starts["final norm"] = "backbone.norm."  # many timm models have no norm after the pooling
    optional = {part for part, start in starts.items() if not any(name.startswith(start) for name in given)}
    optional |= {"attention"} if layout.backbone_only else set()
    optional |= {"head"} if head == "new" else set()
    return {name for name in model.state_dict() if part_of(model, name) in optional} | set(layout.made)


def _stem_names(model: Network) -> set[str]:
    """Return the tensors of a small stem's first convolution, whose kernel may differ from the pre-trained one."""
    first = timm_facts(model.backbone.model).get("first_conv")
    if model.backbone_config["stem"] != "small" or not isinstance(first, str):
        return set()
    return {f"backbone.model.{first}.weight", f"backbone.model.{first}.bias"}


def part_of(model: Network, name: str) -> str:
    """Return the part of the network that a tensor of its state dict belongs to.

    Returns:
        ``"backbone"``, ``"stem"`` (the first convolution of a small stem), ``"attention"``, ``"final norm"``,
        ``"landmarks"``, ``"head"`` or ``"valence and arousal"``.
    """
    if name.startswith(("head.", "valence_arousal.")):
        return "head" if name.startswith("head.") else "valence and arousal"
    if name.startswith("backbone.norm."):
        return "final norm"
    if name.startswith("landmarks."):
        return "landmarks"
    if model.backbone.timm_name(name.removeprefix("backbone.")) is None:
        return "attention"
    return "stem" if name in _stem_names(model) else "backbone"
