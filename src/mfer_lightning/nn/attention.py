"""DS attention: weight the positions of a feature map with a dynamic global and a static local branch.

Paper: Xu, Li, Yang, He, Luo: MFER, IEEE Transactions on Affective Computing 2024, doi 10.1109/TAFFC.2024.3458464.
Layers and their order follow the authors' public code and were reimplemented from its description. The paper's figure
differs in two places, both available as options (`norm_order="norm_gelu"`, `residual=False`). The LayerNorm's eps
(PyTorch's default, 1e-5; 1e-6 everywhere else in the network) and the initialisation (truncated normal with std 0.02,
zero biases, as in ConvNeXt) also follow the code.
This project adds the depthwise static branch, single branches, the control block, and a softmax in float32 under
autocast.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mfer_lightning.errors import UserError, check_number, expect_choice
from mfer_lightning.nn.convolution import conv_within_map

_LAYOUTS = ("NCHW", "NHWC")
_NORM_ORDERS = ("gelu_norm", "norm_gelu")
_STATICS = ("dense", "depthwise")
_BRANCHES = ("both", "dynamic", "static")
_INITS = ("trunc_normal", "torch")
_INIT_STD = 0.02

_SHARED = {
    "stages": (3, 4),
    "kernel_size": 7,
    "reduction": 8,
    "norm_order": "gelu_norm",
    "norm_eps": 1e-5,
    "init": "trunc_normal",
}

#: Options of each attention with their defaults (`stages`: the stages after which it is inserted). A single branch
#: accepts all shared options and ignores those of the other branch, so that one sweep can run over names and options.
ATTENTIONS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "ds": {**_SHARED, "residual": True, "static": "dense", "branches": "both"},
        "ds_depthwise": {**_SHARED, "residual": True},
        "dynamic": {**_SHARED, "residual": True},
        "static": {**_SHARED, "residual": True, "static": "dense"},
        "conv": {**_SHARED},
        "none": {},
    }
)
_FIXED: Mapping[str, Mapping[str, Any]] = {
    "ds_depthwise": {"static": "depthwise"},
    "dynamic": {"branches": "dynamic"},
    "static": {"branches": "static"},
}


class DSAttention(nn.Module):
    r"""Apply dynamic global and static local attention over the positions of a feature map, per channel.

    With :math:`X` of C channels, :math:`r` the reduction and :math:`k` the kernel size::

        K' = Linear(C/r -> C)(GELU(Linear(C -> C/r)(X))) * X        dynamic: differs from face to face
        Q  = LayerNorm(GELU(Conv_kxk(X)))                           static: the same filter everywhere
        V  = Linear(C -> C)(X)
        Y  = X + softmax(K' + Q) * V

    The softmax runs over the H*W positions of each channel separately, so each channel's weights sum to 1 over the map.

    Args:
        dim: channels C of the feature map.
        kernel_size: side k of the static branch's convolution, odd.
        reduction: the dynamic branch's bottleneck has ``max(1, C // reduction)`` channels.
        norm_order: ``"gelu_norm"`` (released code) or ``"norm_gelu"`` (the paper's figure).
        residual: add the input (released code) or not (the paper's figure).
        static: the convolution mixes channels (``"dense"``, the paper's) or does not (``"depthwise"``).
        branches: ``"both"``, or only the branch ``"dynamic"`` or ``"static"``.
        layout: memory layout of input and output: ``"NCHW"`` (also as channels_last memory) or ``"NHWC"``.
        norm_eps: eps of the LayerNorm, > 0.
        init: ``"trunc_normal"`` (released code: truncated normal with std 0.02, zero biases) or ``"torch"`` (PyTorch's
            default initialisation).

    Raises:
        ValueError: for arguments outside their range.

    Example:
        >>> attention = DSAttention(512)
        >>> sum(p.numel() for p in attention.parameters())
        13175360
        >>> attention(torch.zeros(1, 512, 4, 4)).shape  # the 7x7 convolution pads, so any map size works
        torch.Size([1, 512, 4, 4])
    """

    def __init__(
        self,
        dim: int,
        *,
        kernel_size: int = 7,
        reduction: int = 8,
        norm_order: str = "gelu_norm",
        residual: bool = True,
        static: str = "dense",
        branches: str = "both",
        layout: str = "NCHW",
        norm_eps: float = 1e-5,
        init: str = "trunc_normal",
    ) -> None:
        super().__init__()
        _check(kernel_size, reduction, norm_order, layout, norm_eps, init)
        expect_choice("static", static, _STATICS)
        expect_choice("branches", branches, _BRANCHES)
        self.norm_order = norm_order
        self.residual = bool(residual)
        self.layout = layout
        self.branches = branches
        # Module names follow the released code, so that its checkpoints load by name.
        if branches != "static":
            self.key = _bottleneck(dim, reduction)
        self.value = nn.Linear(dim, dim)
        if branches != "dynamic":
            groups = dim if static == "depthwise" else 1
            self.attn = nn.Conv2d(dim, dim, kernel_size, padding=kernel_size // 2, groups=groups)
            self.norm = nn.LayerNorm(dim, eps=norm_eps)
        _initialise(self, init)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the attention to a feature map.

        Args:
            x: float map, (B,C,H,W) or (B,H,W,C) depending on ``layout``; the output keeps its memory format.

        Returns:
            A map of the same shape.
        """
        maps, tokens = _views(x, self.layout)
        value = self.value(tokens)
        change = self._weights(maps, tokens).to(value.dtype) * value
        if self.layout == "NCHW":
            change = change.permute(0, 3, 1, 2)
        return x + change if self.residual else _like(change, x)

    def weights(self, x: Tensor) -> Tensor:
        """Return the attention weights of a feature map, for inspection; :meth:`forward` uses the same weights.

        Args:
            x: same as for :meth:`forward`.

        Returns:
            (B,C,H,W) in either layout, at least float32; each channel sums to 1 over its positions.
        """
        return self._weights(*_views(x, self.layout)).permute(0, 3, 1, 2)

    def _weights(self, maps: Tensor, tokens: Tensor) -> Tensor:
        score = self._score(maps, tokens)
        return F.softmax(score.flatten(1, 2), dim=1).view_as(score)

    def _score(self, maps: Tensor, tokens: Tensor) -> Tensor:
        # float32, because in half precision K * X can overflow and small softmax terms over 196 positions underflow.
        if self.branches == "static":
            return _at_least_float32(self._query(maps))
        key, image = _at_least_float32(self.key(tokens)), _at_least_float32(tokens)
        if self.branches == "dynamic":
            return key * image
        return torch.addcmul(_at_least_float32(self._query(maps)), key, image)

    def _query(self, maps: Tensor) -> Tensor:
        query: Tensor = conv_within_map(self.attn, maps).permute(0, 2, 3, 1)
        query = self.norm(F.gelu(query)) if self.norm_order == "gelu_norm" else F.gelu(self.norm(query))
        return query  # noqa: RET504  # named for its type: modules return Any

    def extra_repr(self) -> str:
        """Show the options that the submodules do not show."""
        return f"norm_order={self.norm_order}, residual={self.residual}, layout={self.layout}"


class ConvControl(nn.Module):
    r"""Control for DS attention: the same layers and parameters, without attention.

    ``Y = X + Linear(LayerNorm(GELU(Conv_kxk(X)))) + Linear(GELU(Linear(X)))``: the layers of the static branch, the
    value and the dynamic branch, with sums instead of the Hadamard product and the softmax. If DS attention beats this
    block, attention helps; otherwise the gain comes from the extra parameters.

    Args:
        dim: channels C of the feature map.
        kernel_size: side of the convolution, odd.
        reduction: the bottleneck has ``max(1, C // reduction)`` channels.
        norm_order: ``"gelu_norm"`` or ``"norm_gelu"``.
        layout: ``"NCHW"`` or ``"NHWC"``.
        norm_eps: eps of the LayerNorm, > 0.
        init: ``"trunc_normal"`` or ``"torch"``.

    Raises:
        ValueError: for arguments outside their range.

    Example:
        >>> sum(p.numel() for p in ConvControl(512).parameters())  # same as DSAttention(512)
        13175360
    """

    def __init__(
        self,
        dim: int,
        *,
        kernel_size: int = 7,
        reduction: int = 8,
        norm_order: str = "gelu_norm",
        layout: str = "NCHW",
        norm_eps: float = 1e-5,
        init: str = "trunc_normal",
    ) -> None:
        super().__init__()
        _check(kernel_size, reduction, norm_order, layout, norm_eps, init)
        self.norm_order = norm_order
        self.layout = layout
        self.conv = nn.Conv2d(dim, dim, kernel_size, padding=kernel_size // 2)
        self.norm = nn.LayerNorm(dim, eps=norm_eps)
        self.project = nn.Linear(dim, dim)
        self.bottleneck = _bottleneck(dim, reduction)
        _initialise(self, init)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B,C,H,W) or (B,H,W,C), depending on ``layout``, to the same shape and memory format."""
        maps, tokens = _views(x, self.layout)
        local = conv_within_map(self.conv, maps).permute(0, 2, 3, 1)
        local = self.norm(F.gelu(local)) if self.norm_order == "gelu_norm" else F.gelu(self.norm(local))
        change: Tensor = self.project(local) + self.bottleneck(tokens)
        return x + (change.permute(0, 3, 1, 2) if self.layout == "NCHW" else change)


def build_attention(config: Mapping[str, Any], dim: int, layout: str) -> nn.Module:
    """Build the attention module that follows one stage.

    Args:
        config: a complete specification: a name in :data:`ATTENTIONS` other than none, with all its options.
        dim: channels of the stage's feature map.
        layout: ``"NCHW"`` or ``"NHWC"``.

    Raises:
        UserError: for option values outside their range.
    """
    options = {key: value for key, value in config.items() if key not in ("name", "stages")}
    name = config["name"]
    try:
        if name == "conv":
            return ConvControl(dim, layout=layout, **options)
        return DSAttention(dim, layout=layout, **options, **_FIXED.get(name, {}))
    except (ValueError, TypeError) as error:
        raise UserError(f"Attention '{name}': {error}") from error


def _bottleneck(dim: int, reduction: int) -> nn.Sequential:
    hidden = max(1, dim // reduction)
    return nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))


def _views(x: Tensor, layout: str) -> tuple[Tensor, Tensor]:
    """Return a feature map as (B,C,H,W) for convolutions and as contiguous (B,H,W,C) for linear layers.

    Makes at most one copy, and none if the memory is already NHWC. We compared linear layers and LayerNorm on NHWC with
    1x1 convolutions on NCHW (one CPU thread, forward and backward, best of 6): 0.71 s against 0.74 s at (8,14,14,512),
    0.079 s against 0.081 s at (64,8,8,128) in channels_last; 0.66 s against 0.65 s, 0.094 s against 0.088 s in the
    default format. The k x k convolution dominates, so both formats share one code path.
    """
    if layout == "NHWC":
        return x.permute(0, 3, 1, 2), x
    return x, x.permute(0, 2, 3, 1).contiguous()


def _at_least_float32(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def _like(change: Tensor, x: Tensor) -> Tensor:
    """Convert a result to the memory format of the input; a sum with the input already has it."""
    if x.dim() == 4 and x.is_contiguous():
        return change.contiguous()
    return change


def _initialise(module: nn.Module, init: str) -> None:
    """Initialise a new module; ``"torch"`` draws no random numbers, so that later layers keep their initial values."""
    if init == "torch":
        return
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.trunc_normal_(layer.weight, std=_INIT_STD)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]  # all of these layers have one


def _check(kernel_size: int, reduction: int, norm_order: str, layout: str, norm_eps: float, init: str) -> None:
    if not isinstance(kernel_size, int) or kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(f"Expected argument `kernel_size` to be a positive odd integer, but got {kernel_size!r}.")
    if not isinstance(reduction, int) or reduction < 1:
        raise ValueError(f"Expected argument `reduction` to be a positive integer, but got {reduction!r}.")
    expect_choice("norm_order", norm_order, _NORM_ORDERS)
    expect_choice("layout", layout, _LAYOUTS)
    check_number("norm_eps", norm_eps, 0, excluded="low")
    expect_choice("init", init, _INITS)
