"""Where the configuration files are, and which choices they offer. Imports neither Hydra nor torch.

The package's own files are at the repository root in a checkout, inside the package in a wheel. ``--config-dir`` adds
a folder of the user, whose choices stand beside ours in the help and in error messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mfer_lightning.errors import UserError

#: Folders of ``--config-dir`` on this process's command line.
_users: list[Path] = []


def config_dir() -> Path:
    """Find the package's ``conf`` folder.

    Returns:
        Its absolute path: ``<repository>/conf`` for an editable install, ``<package>/conf`` for an installed wheel.

    Raises:
        UserError: if neither exists (a broken installation).
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "conf", package.parents[1] / "conf"):
        if (folder / "train.yaml").is_file():
            return folder
    raise UserError(f"The configuration files are missing: looked for conf/train.yaml beside {package}. Reinstall.")


def config_dirs(arguments: Sequence[str]) -> list[str]:
    """Return the folders of ``--config-dir`` on a command line.

    Example:
        >>> config_dirs(["--config-dir", "mine", "-m", "-cd=yours"])
        ['mine', 'yours']
    """
    pairs = zip(arguments, [*arguments, ""][1:], strict=False)
    return [a.partition("=")[2] or after for a, after in pairs if a.partition("=")[0] in ("--config-dir", "-cd")]


def use_config_dirs(arguments: Sequence[str]) -> None:
    """Let :func:`choices` and :func:`groups` list the folders of ``--config-dir`` on a command line as well."""
    _users[:] = [Path(folder) for folder in config_dirs(arguments)]


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
    folders = [folder / group for folder in (config_dir(), *_users)]
    return sorted({f.relative_to(d).with_suffix("").as_posix() for d in folders for f in d.rglob("*.yaml")})


def config_file(name: str) -> Path | None:
    """Find a configuration file, the user's before ours.

    Args:
        name: without ``.yaml``, e.g. ``"predict"`` or ``"loss/dsf"``.

    Returns:
        Its path, or None if there is no such file.
    """
    return next((f for d in (*_users, config_dir()) if (f := d / f"{name}.yaml").is_file()), None)


def groups() -> list[str]:
    """List the configuration groups, sorted.

    Example:
        >>> "loss" in groups()
        True
    """
    found = {f.name for d in (config_dir(), *_users) if d.is_dir() for f in d.iterdir() if f.is_dir()}
    return sorted(name for name in found - {"local", "hydra"} if not name.startswith((".", "_")))
