"""Convolutions of nn/convolution.py against torch's own, in processor time of one thread.

OMP_NUM_THREADS=1 python benchmarks/convolutions.py
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
import torch.nn.functional as F

from mfer_lightning.memory import keep_freed_memory
from mfer_lightning.nn.convolution import convolve_taps, depthwise_weight_gradient

DEPTHWISE = ((4, 512, 14), (4, 1024, 7), (4, 128, 56), (8, 512, 14), (64, 160, 8))
DENSE = ((8, 1024, 7), (8, 512, 14))


def least(work: Callable[[], object], repeats: int = 5) -> float:
    """Milliseconds of processor time of the quickest call."""
    work()
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return 1000 * best


def main() -> None:
    """Print one line a case."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    keep_freed_memory()
    for dtype in (torch.bfloat16, torch.float32):
        for batch, channels, side in DEPTHWISE:
            x = torch.randn(batch, channels, side, side).to(dtype).contiguous(memory_format=torch.channels_last)
            g, w = torch.randn_like(x), torch.randn(channels, 1, 7, 7).to(dtype)
            args = (g, x, w, None, [1, 1], [3, 3], [1, 1], False, [0, 0], channels, [False, True, False])
            torchs = least(lambda a=args: torch.ops.aten.convolution_backward(*a))
            ours = least(lambda x=x, g=g: depthwise_weight_gradient(x, g, (7, 7)))
            print(f"depthwise weight gradient {tuple(x.shape)} {dtype}: torch {torchs:.1f} ms, ours {ours:.1f} ms")
        for batch, channels, side in DENSE:
            x = torch.randn(batch, channels, side, side).to(dtype).contiguous(memory_format=torch.channels_last)
            w = (torch.randn(channels, channels, 7, 7) / 200).to(dtype).contiguous(memory_format=torch.channels_last)
            x.requires_grad_(), w.requires_grad_()
            ways = {"torch": lambda a, b: F.conv2d(a, b, padding=3), "ours": lambda a, b: convolve_taps(a, b, None)}
            for name, function in ways.items():
                y = function(x, w)
                back = least(lambda y=y, x=x, w=w: torch.autograd.grad(y.sum(), (x, w), retain_graph=True), 3)
                with torch.no_grad():
                    forward = least(lambda f=function, x=x, w=w: f(x, w), 3)
                print(f"dense {tuple(x.shape)} {dtype}, {name}: forward {forward:.0f} ms, both gradients {back:.0f} ms")


if __name__ == "__main__":
    main()
