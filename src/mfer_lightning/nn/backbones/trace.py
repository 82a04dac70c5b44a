"""Find the stages, the final feature map and the unused parameters of a timm model on the meta device.

Nothing is computed there: tracing ConvNeXt-Base at 224 pixels takes a fraction of a second and no memory.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mfer_lightning.errors import UserError
from mfer_lightning.plurals import counted

_MOST_STAGES = 4


class DoesNotRunError(UserError):
    """Raised if a model cannot be built for an image size or does not run on it."""


@dataclass(frozen=True)
class Stage:
    """A backbone stage.

    Args:
        module: timm's name of the module at its end.
        channels: channels of its feature map.
        reduction: image side divided by that of the feature map, rounded.
        layout: ``"NCHW"``, ``"NHWC"`` or ``"tokens"``, (B,prefix+H*W,C) with H = W.
        problem: why attention cannot be inserted after it; empty if it can.
        prefix: number of leading tokens without a position in the image.
        order: token index of each position, row by row; None: the tokens are in this order.
    """

    module: str
    channels: int
    reduction: int
    layout: str
    problem: str = ""
    prefix: int = 0
    order: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Trace:
    """Result of :func:`trace`.

    Args:
        stages: the stages of the model.
        channels: channels of the final map.
        final: layout of the final map: ``"NCHW"``, ``"NHWC"`` or ``"tokens"``, (B,N,C).
        prefix_tokens: number of tokens without a position in the image.
        unused: timm's names of the parameters that the final map does not depend on.
        called: timm's names of the modules that were called.
    """

    stages: tuple[Stage, ...]
    channels: int
    final: str
    prefix_tokens: int
    unused: frozenset[str]
    called: frozenset[str]


def trace(
    model: nn.Module,
    name: str,
    in_chans: int,
    side: int,
    pool: Callable[[Any, Tensor, int], Tensor],
    blocks: Sequence[int] | None = None,
) -> Trace:
    """Find the stages, the final map and the unused parameters of a timm model in one pass.

    Args:
        model: the timm model.
        name: its name, for error messages.
        in_chans: number of image channels.
        side: image side in pixels.
        pool: maps the model, its final tokens and the number of prefix tokens to the pooled feature.
        blocks: for models with a single resolution: numbers of the last block of each stage (from 1); None: quarters.

    Raises:
        UserError: if the output of the model is not a single map or sequence of tokens.
    """
    outputs: dict[str, list[Any]] = {}
    with torch.inference_mode(False), torch.enable_grad():  # the caller may run under no_grad
        ghost = without_data(model)
        for path, module in ghost.named_modules():
            module.register_forward_hook(lambda _m, _i, output, path=path: outputs.setdefault(path, []).append(output))
        final = run_on_meta(ghost, name, in_chans, side)
    fallback = getattr(model, "output_fmt", None)
    fallback = fallback if fallback in ("NCHW", "NHWC") else "NCHW"
    stages = tuple(
        _stage(model, entry, outputs.get(entry["module"], []), side, fallback)
        for entry in _stage_entries(model, name, blocks)
    )
    if not isinstance(final, Tensor) or final.dim() not in (3, 4):
        raise UserError(
            f"Backbone '{name}' does not end in a feature map but in {_describe(final)}. "
            "Choose another timm model (convnext, resnet, swin, ...)."
        )
    prefix = 0
    if final.dim() == 3:
        prefix = int(getattr(model, "num_prefix_tokens", 0))
        layout, channels = "tokens", final.shape[-1]
        with torch.inference_mode(False), torch.enable_grad():
            final = pool(ghost, final, prefix)
    else:
        layout = _layout(final, int(getattr(model, "num_features", 0)), fallback)
        channels = final.shape[1 if layout == "NCHW" else 3]
    reached = _leaves(final)
    unused = frozenset(path for path, parameter in ghost.named_parameters() if id(parameter) not in reached)
    return Trace(stages, channels, layout, prefix, unused, frozenset(outputs))


def prune_unused(model: nn.Module, name: str, found: Trace) -> tuple[str, ...]:
    """Remove modules whose parameters do not contribute to the final map, in place.

    Args:
        model: the timm model.
        name: its name, for error messages.
        found: the result of :func:`trace`.

    Returns:
        timm's names of the removed modules.

    Raises:
        UserError: if such parameters cannot be removed.
    """
    doomed: list[str] = []
    left = set(found.unused)
    for path, module in model.named_modules():
        inside = {f"{path}.{p}" for p, _ in module.named_parameters()}
        # a called module has an effect even without its parameters, so it is kept here and rejected below
        if path and path not in found.called and inside and left.issuperset(inside):
            doomed.append(path)
            left -= inside
    if left:
        raise UserError(
            f"Backbone '{name}' has parameters that its features do not depend on ({', '.join(sorted(left)[:3])}"
            f"{', ...' if len(left) > 3 else ''}), which distributed training does not support. Choose another "
            "timm model."
        )
    for path in doomed:
        replace_module(model, path, nn.Identity())
    return tuple(doomed)


def replace_module(model: nn.Module, path: str, module: nn.Module) -> None:
    """Replace the module at ``path``."""
    parent, _, child = path.rpartition(".")
    setattr(model.get_submodule(parent), child, module)


def without_data(model: nn.Module) -> Any:
    """Copy a model onto the meta device, in evaluation mode (no drop-path, dropout or batch statistics)."""
    parameters = {id(p): nn.Parameter(torch.empty_like(p, device="meta")) for p in model.parameters()}
    buffers = {id(b): torch.empty_like(b, device="meta") for b in model.buffers()}
    return copy.deepcopy(model, {**parameters, **buffers}).eval()  # the data itself is not copied


def run_on_meta(ghost: Any, name: str, in_chans: int, side: int) -> Any:
    """Run the stages of a timm model on one image on the meta device.

    Args:
        ghost: a copy made by :func:`without_data`.
        name: its name, for error messages.
        in_chans: number of image channels.
        side: image height and width in pixels.

    Returns:
        The output of ``forward_features``, on the meta device.

    Raises:
        DoesNotRunError: if the model does not run.
    """
    try:
        return ghost.forward_features(torch.empty(1, in_chans, side, side, device="meta"))
    except (RuntimeError, ValueError, TypeError, AttributeError, AssertionError, NotImplementedError) as error:
        raise DoesNotRunError(
            f"Backbone '{name}' does not run on images of {side}x{side} with these options: "
            f"{(str(error).splitlines()[0] if str(error) else type(error).__name__).rstrip('.')}. "
            "Many models with a fixed size support only the default stem."
        ) from error


def timm_facts(model: nn.Module) -> dict[str, Any]:
    """Return timm's own description of a model (``first_conv``, ``classifier``, ``input_size``, ``tag``, ...)."""
    facts: Any = getattr(model, "pretrained_cfg", None)
    return dict(facts or {})


def _leaves(output: Tensor) -> set[int]:
    """Return the ids of the tensors that an output depends on, from the graph, which is faster than a backward pass."""
    seen: set[Any] = set()
    leaves: set[int] = set()
    pending: list[Any] = [output.grad_fn]
    while pending:
        node = pending.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            leaves.add(id(node.variable))
        pending.extend(following for following, _ in node.next_functions)
    return leaves


def _stage_entries(model: nn.Module, name: str, blocks: Sequence[int] | None) -> list[dict[str, Any]]:
    """Return the deepest feature_info entry of each of the last four resolutions, or of four quarters of the depth."""
    info = getattr(model, "feature_info", None)
    if not isinstance(info, list) or not all(isinstance(e, dict) and "module" in e for e in info):
        info = []
    by_reduction = {entry["reduction"]: entry for entry in info}
    if len(by_reduction) == 1:
        ends = list(quarters(len(info))) if blocks is None else blocks
        numbers = isinstance(ends, (list, tuple)) and all(isinstance(e, int) and not isinstance(e, bool) for e in ends)
        if not numbers or not ends or list(ends) != sorted({*ends} & {*range(1, len(info) + 1)}):
            raise UserError(
                f"Backbone option `stage_blocks` must be a list of ascending block numbers, 1 to {len(info)} "
                f"in '{name}', not {blocks!r}."
            )
        return [info[end - 1] for end in ends]
    if blocks is not None:
        raise UserError(
            f"Backbone option `stage_blocks` applies to plain transformers; the stages of '{name}' are its resolutions."
        )
    return [by_reduction[r] for r in sorted(by_reduction)][-_MOST_STAGES:]


def quarters(depth: int) -> tuple[int, ...]:
    """Return the last block, from 1, of each quarter of a depth.

    Example:
        >>> quarters(12), quarters(6)
        ((3, 6, 9, 12), (2, 3, 5, 6))
    """
    return tuple(sorted({math.ceil(depth * i / _MOST_STAGES) for i in range(1, _MOST_STAGES + 1)}))


def _stage(model: nn.Module, entry: dict[str, Any], outputs: list[Any], side: int, fallback: str) -> Stage:
    path, channels, reduction = entry["module"], int(entry["num_chs"]), int(entry["reduction"])
    output = outputs[0] if len(outputs) == 1 else None
    if isinstance(output, Tensor) and output.dim() == 4:
        layout = _layout(output, channels, fallback)
        _, C, H, _ = output.shape if layout == "NCHW" else output.permute(0, 3, 1, 2).shape
        return Stage(path, C, round(side / H), layout)
    if isinstance(output, Tensor) and output.dim() == 3 and output.shape[2] == channels:
        own = int(getattr(model, "num_prefix_tokens", 0))
        counts = {prefix: output.shape[1] - prefix for prefix in (0, own)}
        square = {p: math.isqrt(n) for p, n in counts.items() if n > 0 and math.isqrt(n) ** 2 == n}
        if square:  # if two square arrangements are possible, use the one that matches the resolution
            prefix = min(square, key=lambda p: abs(square[p] - side / reduction))
            order = _order(model, path, counts[prefix])
            return Stage(path, channels, round(side / square[prefix]), "tokens", prefix=prefix, order=order)
    if len(outputs) == 1:
        problem = f"its output is {_describe(output)}, not one map"
    else:
        problem = f"it is {f'called {len(outputs)} times' if outputs else 'not called'} in a forward pass"
    return Stage(path, channels, reduction, fallback, problem)


def _order(model: nn.Module, path: str, count: int) -> tuple[int, ...] | None:
    """Return the token index of each position if the model orders its tokens by mask units (timm's ``reroll``).

    In the last blocks of Hiera, a mask unit is one token, so the tokens are in row order and need no change.
    """
    reroll: Any = getattr(model, "reroll", None)
    if reroll is None:
        return None
    numbers = torch.arange(count, device="cpu").view(1, count, 1)
    order = tuple(reroll(numbers, int(path.rpartition(".")[2])).flatten().tolist())
    return None if order == tuple(range(count)) else order


def _layout(output: Tensor, channels: int, fallback: str) -> str:
    """Distinguish NCHW and NHWC by the position of the channels; if both or neither match, use ``fallback``."""
    first, last = output.shape[1] == channels, output.shape[3] == channels
    if first == last:
        return fallback
    return "NCHW" if first else "NHWC"


def _describe(output: Any) -> str:
    if isinstance(output, Tensor):
        return f"a tensor of shape {tuple(output.shape)}"
    if isinstance(output, (list, tuple)):
        return f"a {type(output).__name__} of {counted(len(output), 'part')}"
    return f"a {type(output).__name__}"
