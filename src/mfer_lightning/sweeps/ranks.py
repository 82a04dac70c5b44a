"""Coordinate the processes of one run that torchrun or SLURM's srun has started.

Each process composes the configuration and reaches the run independently. Decisions that depend on the disk, such as
the choice of the run's folder, are made by one process for all.
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

#: How long the other ranks wait for a decision of the first rank, which may have to search for data on a slow disk.
PATIENCE = timedelta(minutes=10)

#: Set by torchrun if its own process hosts the store.
_AGENT_STORE = "TORCHELASTIC_USE_AGENT_STORE"

_decisions = count()
#: Kept until the process ends, because Lightning's process group uses the same store.
_stores: list[TCPStore] = []


def external_environment() -> ClusterEnvironment | None:
    """Detect whether this process was started together with other processes of the same run.

    Returns:
        Lightning's cluster environment of the process; None if it is the only process, or Lightning starts the others.

    Raises:
        UserError: if SLURM's settings are not supported by Lightning.
    """
    if TorchElasticEnvironment.detect():
        found: ClusterEnvironment = TorchElasticEnvironment()
    elif SLURMEnvironment.detect():
        try:
            found = SLURMEnvironment(auto_requeue=False)  # we requeue jobs ourselves: see callbacks/interruption.py
        except RuntimeError as error:
            raise UserError(f"SLURM: {error}") from error
    else:
        return None
    return found if found.world_size() > 1 else None


def is_first_rank() -> bool:
    """Whether this process is the only process of its run, or its first rank, which writes files.

    Also true for ranks that Lightning starts, because :func:`external_environment` does not detect them.
    """
    place = external_environment()
    return place is None or place.global_rank() == 0


def decide_together(decide: Callable[[], str]) -> str:
    """Let the first rank make a decision, and return it on all ranks.

    Args:
        decide: called on the first rank only, or here if there is only one process.

    Returns:
        The result of ``decide``, on every rank.

    Raises:
        UserError: on every rank, if the first rank raised it; on the other ranks for any exception of the first rank.
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
                multi_tenant=True,  # the process group created later shares the server
            )
        )
    return _stores[0]
