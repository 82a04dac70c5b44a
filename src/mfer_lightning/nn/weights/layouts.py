"""Map the tensor names of our checkpoints and of other projects' files to the network's names.

Layouts: the released MFER code (the network of doi 10.1109/TAFFC.2024.3458464), Meta's ConvNeXt v1 and v2 (Liu et al.,
CVPR 2022; Woo et al., CVPR 2023), timm, face-recognition networks (:mod:`mfer_lightning.nn.weights.face_layouts`), the
files that the authors of our other networks have published, and our own checkpoints. Only names are mapped here;
:mod:`mfer_lightning.nn.weights.load` checks whether the tensors fit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mfer_lightning.errors import UserError
from mfer_lightning.nn.base import Network
from mfer_lightning.nn.weights.face_layouts import FaceLayout

#: A tensor name that identifies Meta's files.
META_MARK = "downsample_layers.0.0.weight"
_OWN_MARK = "backbone.model."
_TIMM_TO_META = (
    (r"^stem\.", "downsample_layers.0."),
    (r"^stages\.(\d+)\.downsample\.", r"downsample_layers.\1."),
    (r"^stages\.(\d+)\.blocks\.(\d+)\.", r"stages.\1.\2."),
    (r"\.conv_dw\.", ".dwconv."),
    (r"\.mlp\.fc1\.", ".pwconv1."),
    (r"\.mlp\.fc2\.", ".pwconv2."),
    (r"\.mlp\.grn\.weight$", ".grn.gamma"),
    (r"\.mlp\.grn\.bias$", ".grn.beta"),
)


@dataclass(frozen=True)
class Layout:
    """Tensor names in a file of this layout.

    Args:
        words: description of the layout, for messages.
        names: our name -> name in the file, for every tensor that such a file can contain.
        droppable: names of modules or tensors, or prefixes that end in a dot, without a counterpart in the network
            (a classifier, loss centres).
        backbone_only: whether such files contain neither attention nor heads.
        made: names of our tensors that such a file lacks, in addition to attention, final norm and heads.
        colour: channel order that such weights were trained on, ``"RGB"`` or ``"BGR"``; None: either.
    """

    words: str
    names: Mapping[str, str]
    droppable: tuple[str, ...] = ()
    backbone_only: bool = False
    made: tuple[str, ...] = ()
    colour: str | None = "RGB"

    def drops(self, name: str) -> bool:
        """Whether a name without a counterpart may be left out."""
        return any(name == d or name.startswith(d if d.endswith(".") else f"{d}.") for d in self.droppable)


def detect(keys: Iterable[str]) -> str:
    """Detect a layout by its names: ``"own"``, ``"released"``, ``"meta"`` or ``"timm"`` (anything else).

    Example:
        >>> detect(["downsample_layers.0.0.weight", "stages.2.27.key.0.weight"])
        'released'
    """
    names = list(keys)
    if any(_OWN_MARK in name for name in names):
        return "own"
    if META_MARK in names or any(name.startswith("downsample_layers.") for name in names):
        special = any(re.match(r"(stages\.\d+\.\d+\.(key|value|attn)\.|msc\.)", name) for name in names)
        return "released" if special else "meta"
    return "timm"


def own(ours: Iterable[str], keys: Iterable[str]) -> Layout:
    """Map the names in one of our checkpoints, in which the network may have any prefix.

    Args:
        ours: names of the network's tensors.
        keys: names in the file.

    Raises:
        UserError: if the checkpoint contains two networks.
    """
    ours, keys = list(ours), list(keys)
    prefixes = {key[: key.index(_OWN_MARK)] for key in keys if _OWN_MARK in key}
    if len(prefixes) != 1:
        raise UserError(f"The checkpoint contains {len(prefixes)} networks ({', '.join(sorted(prefixes))}), not one.")
    prefix = prefixes.pop()
    inside = tuple({f"{prefix}{name.partition('.')[0]}." for name in ours})
    # outside the network there may be loss centres and similar; within it, every tensor needs a counterpart
    beside = tuple(key for key in keys if not key.startswith(inside)) if prefix else ()
    if not any(name.startswith("valence_arousal.") for name in ours):
        beside += (f"{prefix}valence_arousal.",)
    return Layout("one of our checkpoints", {name: prefix + name for name in ours}, beside)


def meta(ours_to_timm: Mapping[str, str]) -> Layout:
    """Build the layout of Meta's ConvNeXt: its block names, the final norm, and a classifier that is dropped."""
    names = {name: meta_name(theirs) for name, theirs in ours_to_timm.items()}
    return Layout("Meta ConvNeXt", names | final_norm("norm"), ("head",), backbone_only=True)


def released(ours: Iterable[str], ours_to_timm: Mapping[str, str], attention: Mapping[str, tuple[int, int]]) -> Layout:
    """Build Meta's layout with the attention as an additional block of its stage, and the heads as ``msc``.

    Args:
        ours: names of the network's tensors.
        ours_to_timm: our name -> timm's, for the backbone.
        attention: our name of an attention module -> (stage index from 0, number of blocks in the stage).
    """
    names = {name: meta_name(theirs) for name, theirs in ours_to_timm.items()} | final_norm("norm")
    for name in ours:
        for module, (stage, blocks) in attention.items():
            if name.startswith(f"{module}."):
                names[name] = f"stages.{stage}.{blocks}.{name.removeprefix(f'{module}.')}"
        if name.startswith("head.heads."):
            names[name] = f"msc.{name.removeprefix('head.heads.')}"
    return Layout("released MFER", names)


def public(network: Network, keys: Iterable[str]) -> Layout | None:
    """Detect the authors' file of a complete network by the names of modules other than backbone and head.

    Args:
        network: provides the names that its authors use, if they have published files.
        keys: names in the file.

    Returns:
        None if it is not such a file.
    """
    names, keys = network.public_names(), set(keys)
    behind = {theirs for ours, theirs in names.items() if not ours.startswith(("backbone.", "landmarks.", "head."))}
    landmarks = {theirs for ours, theirs in names.items() if ours.startswith("landmarks.")}
    if not keys & (behind | landmarks):
        return None
    pretrained = not keys & behind  # the networks that training starts from, combined in one file
    return Layout(f"public {network.name}", names, network.public_left_out(), backbone_only=pretrained)


def timm_layout(ours_to_timm: Mapping[str, str], head_norm: bool, droppable: Iterable[str]) -> Layout:
    """Build the layout of a timm model.

    Args:
        ours_to_timm: our name -> timm's, for the backbone.
        head_norm: whether timm's ``head.norm``, after the pooling, is our final norm.
        droppable: timm's names without a counterpart in our network (classifier, pruned modules).
    """
    names = {**ours_to_timm, **(final_norm("head.norm") if head_norm else {})}
    return Layout("timm", names, tuple(droppable), backbone_only=True)


def face(ours_to_timm: Mapping[str, str], layout: FaceLayout) -> Layout:
    """Build the layout of a face-recognition network with its project's names, without the identity embedding."""
    missing = tuple(f"{module}." for module in layout.made)
    made = tuple(name for name, own in ours_to_timm.items() if own.startswith(missing))
    names = {name: layout.theirs(own) for name, own in ours_to_timm.items() if name not in made}
    return Layout(layout.words, names, layout.left_out, backbone_only=True, made=made, colour=layout.colour)


def meta_name(timm_name: str) -> str:
    """Translate timm's name of a ConvNeXt tensor to Meta's.

    Example:
        >>> meta_name("stages.2.blocks.26.mlp.fc1.weight")
        'stages.2.26.pwconv1.weight'
    """
    for pattern, replacement in _TIMM_TO_META:
        timm_name = re.sub(pattern, replacement, timm_name)
    return timm_name


def final_norm(theirs: str) -> dict[str, str]:
    """Map our final norm to its name in the file."""
    return {f"backbone.norm.{leaf}": f"{theirs}.{leaf}" for leaf in ("weight", "bias")}
