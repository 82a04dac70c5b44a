"""One rank of the comparison in test_distributed.py, also run there without a process group.

Usage: ranks.py RANK WORLD_SIZE RENDEZVOUS_FILE OUTPUT
"""

from __future__ import annotations

import sys

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from mfer_lightning.losses import (
    AffinityLoss,
    AttentionLoss,
    BalancedSoftmax,
    CenterLoss,
    ConcordanceLoss,
    CrossEntropy,
    DSFLoss,
    FocalLoss,
    LGMLoss,
    MetricLearningLoss,
    MultiTargetLoss,
    Objective,
    PartitionLoss,
    ValenceArousalMSE,
)

N, INPUT, D, K = 8, 5, 6, 3


class Model(nn.Module):
    """Network, two heads and objective in one module, as in the training module."""

    def __init__(self, objective):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(INPUT, 7), nn.GELU(), nn.Linear(7, D), nn.LayerNorm(D))
        self.heads = nn.ModuleList([nn.Linear(D // 2, K), nn.Linear(D, K)])
        self.affect = nn.Linear(D, 2)
        self.objective = objective

    def forward(self, x, target, affect):
        feature = self.trunk(x)
        logits = tuple(head(feature[:, : head.in_features]) for head in self.heads)
        values = self.affect(feature)
        output = {"feature": feature, "logits": sum(logits), "head_logits": logits, "valence_arousal": values}
        output |= {"pooled": feature, "attended": torch.stack([feature, feature.square()], 1)}
        output["attention_maps"] = output["attended"].sigmoid()[..., None, None]
        return self.objective(output, target, affect)["total"] + 0 * values.sum()


def objectives():
    """Return the objectives to compare, by name; only ``supcon_local`` must differ between one rank and two."""
    ce = CrossEntropy(0.1)
    return {
        "cross_entropy": Objective(ce),
        "focal": Objective(FocalLoss()),
        "balanced_softmax": Objective(BalancedSoftmax([90, 9, 1])),
        "multi_target": Objective(MultiTargetLoss()),
        "center": Objective(ce, CenterLoss(K, D), 1.0),
        "lgm": Objective(ce, LGMLoss(K, D), 1.0),
        "lgm_diagonal": Objective(ce, LGMLoss(K, D, covariance="diagonal"), 1.0),
        "affinity": Objective(ce, terms={"affinity": AffinityLoss(K, D, weight=0.5)}),
        "attention": Objective(ce, terms={"attention": AttentionLoss(weight=0.1)}),
        "partition": Objective(ce, terms={"partition": PartitionLoss()}),
        "dsf": Objective(ce, DSFLoss(K, D), 1.0),
        "arcface": Objective(ce, MetricLearningLoss(K, D, loss="arcface"), 1.0),
        "supcon_gathered": Objective(ce, MetricLearningLoss(K, D, loss="supcon", gather=True), 1.0),
        "arcface_gathered": Objective(ce, MetricLearningLoss(K, D, loss="arcface", gather=True), 1.0),
        "concordance": Objective(ce, valence_arousal=ConcordanceLoss()),
        "valence_arousal_mse": Objective(ce, valence_arousal=ValenceArousalMSE(), valence_arousal_weight=0.3),
        "supcon_local": Objective(ce, MetricLearningLoss(K, D, loss="supcon"), 1.0),
    }


def gradients(rank, world_size):
    """Return loss name -> parameter name -> gradient, averaged over the ranks, and the initialised centres."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(N, INPUT, generator=generator)
    hard = torch.eye(K)[torch.randint(0, K, (N,), generator=generator)]
    soft = torch.rand(N, K, generator=generator).softmax(1)
    rows = slice(rank * N // world_size, (rank + 1) * N // world_size)
    affect = torch.rand(N, 2, generator=torch.Generator().manual_seed(3)) * 2 - 1
    affect[[0, 1, 2, 5], [0, 0, 1, 1]] = torch.nan  # the first rank has fewer known values
    found = {}
    torch.manual_seed(1)
    for name, objective in objectives().items():
        model = Model(objective)
        run = DistributedDataParallel(model) if world_size > 1 else model
        target = hard if name.startswith(("supcon", "arcface")) else soft
        run(x[rows], target[rows], affect[rows]).backward()
        found[name] = {key: parameter.grad.clone() for key, parameter in model.named_parameters()}
    # Centres from data: the ranks hold parts of unequal size, and only one of them has faces of class 2.
    loss = CenterLoss(K, D)
    feature, label = torch.randn(N, D, generator=generator), torch.tensor([0, 0, 1, 0, 1, 1, 2, 1])
    part = slice(0, N) if world_size == 1 else (slice(0, 3), slice(3, N))[rank]
    loss.init_centers(feature[part], torch.eye(K)[label[part]])
    found["init_centers"] = {"centers": loss.centers.detach().clone()}
    return found


def uneven_gather(rank):
    """Return the rows gathered from ranks that hold 1 and 3 rows, and the gradient of this rank's rows."""
    from mfer_lightning.losses.gather import gather_rows

    rows = (torch.arange(4.0).reshape(4, 1) + 1)[slice(0, 1) if rank == 0 else slice(1, 4)].clone().requires_grad_()
    (joined,) = gather_rows(rows)
    (joined.square() * (rank + 1)).sum().backward()  # the ranks weight their losses by 1 and 2
    return joined.detach(), rows.grad


def main() -> None:
    """Run one rank."""
    rank, world_size, rendezvous, output = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=world_size)
    torch.save({"gradients": gradients(rank, world_size), "gather": uneven_gather(rank)}, output)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
