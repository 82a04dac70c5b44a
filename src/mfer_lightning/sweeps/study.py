"""Open the study of a search, in which Optuna stores its trials, for one or several processes."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mfer_lightning.config.instantiate import instantiate
from mfer_lightning.errors import UserError

#: Seconds between the heartbeats of a trial; seconds without a heartbeat before another machine treats the trial as
#: interrupted.
HEARTBEAT, SILENCE = 30, 180


@dataclass(frozen=True)
class Study:
    """Description of a search's study.

    Args:
        storage: URL supported by Optuna; None: the study is not saved.
        name: name of the study.
        direction: ``"maximize"`` or ``"minimize"``.
        wanted: requested number of results.
        seed: seed of the sampler; None for a sampler without a seed.
        pruner: ``_target_`` and arguments of the pruner; None: no pruning.
    """

    storage: str | None
    name: str | None
    direction: str
    wanted: int
    seed: int | None
    pruner: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, to be sent to another process."""
        return asdict(self)


def build_part(node: Mapping[str, Any] | None, kind: str, **available: Any) -> Any:
    """Build an Optuna sampler or pruner from its configuration node.

    Args:
        node: ``_target_`` and arguments; None: Optuna's default sampler, or no pruning.
        kind: ``"sampler"`` or ``"pruner"``.
        available: arguments known only at run time.

    Raises:
        UserError: if it is not of this kind, or does not accept an argument.
    """
    import optuna

    if node is None:
        return optuna.pruners.NopPruner() if kind == "pruner" else None
    base = optuna.pruners.BasePruner if kind == "pruner" else optuna.samplers.BaseSampler
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna's ExperimentalWarning
        return instantiate(node, where=f"hydra.sweeper.{kind}", base=base, libraries=(f"optuna.{kind}s",), **available)


def open_study(study: Study, **parts: Any) -> Any:
    """Open or create a study.

    Args:
        study: description of the study.
        parts: ``sampler`` and ``pruner``.

    Returns:
        The Optuna study.

    Raises:
        UserError: if the storage cannot be opened, or the study was started with the other direction.
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
    except Exception as error:  # from SQLAlchemy, the database driver or Optuna
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"hydra.sweeper.storage={study.storage}: the study cannot be opened ({reason}). Give the URL of a "
            "writable database, or start a new study with another name=..."
        ) from error
    if (direction := found.direction.name.lower()) != study.direction:  # Optuna would continue without a warning
        raise UserError(
            f"hydra.sweeper.direction={study.direction}: the study {study.name} in {study.storage} was started with "
            f"{direction}. Start a new study with another name=... (with your own hydra.sweeper.storage: another "
            "hydra.sweeper.study_name=...)."
        )
    return found


def _storage(address: str) -> Any:
    """Return a database storage with heartbeats; databases of older Optuna versions are upgraded."""
    from optuna.storages import RDBStorage, RetryFailedTrialCallback

    options: dict[str, Any] = {"heartbeat_interval": HEARTBEAT, "grace_period": SILENCE}
    if address.startswith("sqlite"):
        options["engine_kwargs"] = {"connect_args": {"timeout": 60}}  # several processes write in turn
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna's ExperimentalWarning
        options["failed_trial_callback"] = RetryFailedTrialCallback()
        try:
            return RDBStorage(address, **options)
        except RuntimeError as error:
            if "storage upgrade" not in str(error):
                raise
            RDBStorage(address, skip_compatibility_check=True).upgrade()
            return RDBStorage(address, **options)
