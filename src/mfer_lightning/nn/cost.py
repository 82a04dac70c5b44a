"""Count the parameters and FLOPs of a network."""

from __future__ import annotations

import torch
from torch import nn

from mfer_lightning.nn.convolution import plain_convolutions


def count_parameters(module: nn.Module) -> int:
    """Count the parameters of a module, including frozen ones.

    Example:
        >>> count_parameters(nn.Linear(3, 2))
        8
    """
    return sum(p.numel() for p in module.parameters())


def count_gflops(network: nn.Module, size: int) -> float:
    """Count the multiply-adds of one forward pass on one image.

    A multiply-add counts as one operation, as in the tables of the ConvNeXt, ResNet and Swin papers (ConvNeXt-Base at
    224 pixels: 15.4). Only matrix products and convolutions are counted.

    Args:
        network: maps normalised images (B,3,S,S).
        size: S in pixels.

    Returns:
        Billions of multiply-adds.

    Example:
        >>> count_gflops(nn.Conv2d(3, 8, 1, bias=False), 100)
        0.00024
    """
    from torch.utils.flop_counter import FlopCounterMode  # imports triton

    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    learned = [p for p in network.parameters() if p.requires_grad]
    # If a trainable weight is an input of a module (CaiT), FlopCounterMode needs a graph, which inference mode lacks.
    for parameter in learned:
        parameter.requires_grad_(False)
    try:
        with torch.inference_mode(), plain_convolutions(), FlopCounterMode(display=False) as counter:
            network(torch.zeros(1, 3, size, size, device=device))
    finally:
        for parameter in learned:
            parameter.requires_grad_(True)
        network.train(was_training)
    return float(counter.get_total_flops()) / 2e9
