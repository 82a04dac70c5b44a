"""Coordinate the processes of one run that torchrun or SLURM's srun has started.

Each of them composes the configuration and comes to the run on its own. What depends on the state of the disk, such as
the choice of the run's folder, one of them decides for all.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import timedelta
from itertools import count

from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from mfer_lightning.errors import UserError

#: How long the other ranks wait for the first one's decision. It may have to look for data on a slow disk.
PATIENCE = timedelta(minutes=10)

#: Set by torchrun where its own process keeps the store that ranks meet in.
_AGENT_STORE = "TORCHELASTIC_USE_AGENT_STORE"

_decisions = count()
#: Held for the life of the process: Lightning's process group meets in the same store.
_stores: list[TCPStore] = []


def external_environment() -> ClusterEnvironment | None:
    """Find who has started this process together with others of the same run.

    Returns:
        Lightning's view of the process's place among the ranks; None if it is the only one, or where Lightning
        starts the others.

    Raises:
        UserError: if SLURM was told something that Lightning cannot work with.
    """
    if TorchElasticEnvironment.detect():
        found: ClusterEnvironment = TorchElasticEnvironment()
    elif SLURMEnvironment.detect():
        try:
            found = SLURMEnvironment(auto_requeue=False)  # requeueing is ours: see callbacks/interruption.py
        except RuntimeError as error:
            raise UserError(f"SLURM: {error}") from error
    else:
        return None
    return found if found.world_size() > 1 else None


def is_first_rank() -> bool:
    """Whether this process is the only one of its run, or the one that writes."""
    place = external_environment()
    return place is None or place.global_rank() == 0


def decide_together(decide: Callable[[], str]) -> str:
    """Let the first rank decide, and give its decision to all.

    Args:
        decide: called on the first rank alone, or here where there is but one process.

    Returns:
        What it returned, on every rank.

    Raises:
        UserError: on every rank, where the first one raised it.
    """
    place = external_environment()
    if place is None:
        return decide()
    key = f"mfer/decision/{next(_decisions)}"
    store = _meet(place)
    if place.global_rank() > 0:
        store.wait([key], PATIENCE)
        said = json.loads(store.get(key))
        if "error" in said:
            raise UserError(said["error"])
        return str(said["decision"])
    try:
        decision = decide()
    except BaseException as error:
        words = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        store.set(key, json.dumps({"error": words}))
        raise
    store.set(key, json.dumps({"decision": decision}))
    return decision


def _meet(place: ClusterEnvironment) -> TCPStore:
    if not _stores:
        agents = os.environ.get(_AGENT_STORE) == "True"
        _stores.append(
            TCPStore(
                place.main_address,
                place.main_port,
                world_size=place.world_size(),
                is_master=place.global_rank() == 0 and not agents,
                timeout=PATIENCE,
                wait_for_workers=False,
                multi_tenant=True,  # the process group that follows shares the server
            )
        )
    return _stores[0]
