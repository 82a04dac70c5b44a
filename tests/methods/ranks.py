"""One rank of the comparison in test_ranks.py, also run there without a process group.

Usage: ranks.py RANK WORLD_SIZE RENDEZVOUS_FILE OUTPUT
"""

from __future__ import annotations

import sys

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mfer_lightning.losses import CrossEntropy, Objective
from mfer_lightning.methods import EAC, RUL, SCN, Baseline, CoTeaching, Distill, Method, Step
from mfer_lightning.nn import MFER

N, K, FACES = 8, 3, 30


class Training(nn.Module):
    """Network and method in one module, as in the training module."""

    def __init__(self, network: MFER, method: Method) -> None:
        super().__init__()
        self.network, self.method, self.objective = network, method, Objective(CrossEntropy(0.0))

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        return self.method(batch, Step(self.network, self.objective, epoch=20))["total"]


class Scaled(nn.Module):
    """A teacher whose preprocessing scales the faces."""

    def __init__(self, network: MFER) -> None:
        super().__init__()
        self.network = network

    def forward(self, faces: Tensor) -> dict[str, Tensor]:
        return {"logits": self.network(faces.double() / 255)["logits"]}


def methods(width: int) -> dict[str, Method]:
    """All methods whose results must be equal on one and on two ranks."""
    return {
        "baseline": Baseline(),
        "scn": SCN(width, FACES, rank_margin=0.9),
        "eac": EAC(),
        "rul": RUL(width, width=5),
        "coteaching": CoTeaching(build_network(seed=5), forget_rate=0.4),
        "distill": Distill([Scaled(build_network(seed=6).double())]),
    }


def build_network(seed: int) -> MFER:
    torch.manual_seed(seed)
    backbone = {"name": "convnext_atto", "options": {"depths": [1, 1, 1, 1], "dims": [4, 8, 12, 16]}}
    network = MFER(backbone, K, attention="none", head="multiscale")
    for head in network.head.heads:
        head.fc2.weight.data *= 30
    return network


def found_by(rank: int, world_size: int) -> dict[str, dict[str, Tensor]]:
    """Return method -> name -> gradients and buffers after one step on this rank's part of the batch."""
    generator = torch.Generator().manual_seed(0)
    label = torch.randint(0, K, (N,), generator=generator)
    batch = {
        "image": torch.randn(N, 3, 32, 32, generator=generator, dtype=torch.float64),
        "pixels": torch.randint(0, 256, (N, 3, 32, 32), generator=generator, dtype=torch.uint8),
        "target": torch.eye(K, dtype=torch.float64)[label],
        "label": label,
        "index": torch.randperm(FACES, generator=generator)[:N],
    }
    mine = {name: part[rank * N // world_size : (rank + 1) * N // world_size] for name, part in batch.items()}
    found = {}
    for name in methods(16):
        training = Training(build_network(seed=1), methods(16)[name]).double().eval()
        run = DistributedDataParallel(training) if world_size > 1 else training
        run(mine).backward()
        parts = {key: p.grad.clone() for key, p in training.named_parameters() if p.grad is not None}
        found[name] = parts | {key: buffer.clone() for key, buffer in training.method.named_buffers()}
    return found


if __name__ == "__main__":
    rank, world_size, rendezvous, output = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=world_size)
    torch.save(found_by(rank, world_size), output)
    dist.destroy_process_group()
