"""Open the study of a search: where Optuna keeps its trials, for one process or for several."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mfer_lightning.config.instantiate import instantiate
from mfer_lightning.errors import UserError

#: Seconds between two signs of life of a trial, and without one after which another machine takes it for cut off.
HEARTBEAT, SILENCE = 30, 180


@dataclass(frozen=True)
class Study:
    """Where a search keeps what it knows.

    Args:
        storage: address that Optuna knows; None: nothing is kept.
        name: of the study.
        direction: ``"maximize"`` or ``"minimize"``.
        wanted: results that it is to hold.
        seed: of the sampler; None for a sampler without one.
        pruner: ``_target_`` and arguments of what gives up trials early; None: nothing does.
    """

    storage: str | None
    name: str | None
    direction: str
    wanted: int
    seed: int | None
    pruner: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for another process."""
        return asdict(self)


def build_part(node: Mapping[str, Any] | None, kind: str, **available: Any) -> Any:
    """Build a sampler or a pruner of Optuna from its node of the configuration.

    Args:
        node: ``_target_`` and arguments; None: Optuna's default, and no pruning.
        kind: ``"sampler"`` or ``"pruner"``.
        available: arguments that are known only now.

    Raises:
        UserError: for what is none, or does not take an argument.
    """
    import optuna

    if node is None:
        return optuna.pruners.NopPruner() if kind == "pruner" else None
    base = optuna.pruners.BasePruner if kind == "pruner" else optuna.samplers.BaseSampler
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "experimental"
        return instantiate(node, where=f"hydra.sweeper.{kind}", base=base, libraries=(f"optuna.{kind}s",), **available)


def open_study(study: Study, **parts: Any) -> Any:
    """Open a study, or make it.

    Args:
        study: which.
        parts: ``sampler`` and ``pruner``.

    Returns:
        Optuna's study.

    Raises:
        UserError: if the storage cannot be opened.
    """
    import optuna

    optuna.logging.set_verbosity(logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        found = optuna.create_study(
            study_name=study.name,
            storage=None if study.storage is None else _storage(study.storage),
            direction=study.direction,
            load_if_exists=True,
            **parts,
        )
    except Exception as error:  # of SQLAlchemy, of the database's driver, of Optuna
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"hydra.sweeper.storage={study.storage}: the study cannot be opened ({reason}). Give the address of a "
            "database that can be written to, or begin a study anew with another name=..."
        ) from error
    if (direction := found.direction.name.lower()) != study.direction:  # Optuna would go on without a word
        raise UserError(
            f"hydra.sweeper.direction={study.direction}: the study {study.name} in {study.storage} was begun with "
            f"{direction}. Begin a study anew with another name=..."
        )
    return found


def _storage(address: str) -> Any:
    """A database with signs of life; one that an older Optuna made is brought up to date."""
    from optuna.storages import RDBStorage, RetryFailedTrialCallback

    options: dict[str, Any] = {"heartbeat_interval": HEARTBEAT, "grace_period": SILENCE}
    if address.startswith("sqlite"):
        options["engine_kwargs"] = {"connect_args": {"timeout": 60}}  # several processes write in turn
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "experimental"
        options["failed_trial_callback"] = RetryFailedTrialCallback()
        try:
            return RDBStorage(address, **options)
        except RuntimeError as error:
            if "storage upgrade" not in str(error):
                raise
            RDBStorage(address, skip_compatibility_check=True).upgrade()
            return RDBStorage(address, **options)
