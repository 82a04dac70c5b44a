"""Where the configuration files are: at the repository root in a checkout, inside the package in a wheel."""

from __future__ import annotations

from pathlib import Path

from mfer_lightning.errors import UserError


def config_dir() -> Path:
    """Find the ``conf`` folder.

    Returns:
        Its absolute path: ``<repository>/conf`` for an editable install, ``<package>/conf`` for an installed wheel.

    Raises:
        UserError: where neither exists (a broken installation).
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "conf", package.parents[1] / "conf"):
        if (folder / "train.yaml").is_file():
            return folder
    raise UserError(f"The configuration files are missing: looked for conf/train.yaml beside {package}. Reinstall.")


def choices(group: str) -> list[str]:
    """List what a configuration group offers.

    Args:
        group: name of the group, e.g. ``"loss"`` or ``"experiment"``.

    Returns:
        Names without ``.yaml``, sorted; those in sub-folders as ``folder/name``.

    Example:
        >>> choices("head")
        ['linear', 'multiscale']
    """
    folder = config_dir() / group
    return sorted(f.relative_to(folder).with_suffix("").as_posix() for f in folder.rglob("*.yaml"))


def groups() -> list[str]:
    """List the configuration groups, sorted.

    Example:
        >>> "loss" in groups()
        True
    """
    return sorted(f.name for f in config_dir().iterdir() if f.is_dir() and f.name not in ("local", "hydra"))
