"""Locate the configuration files and list their choices. Imports neither Hydra nor torch.

In a checkout, the files of this package are at the repository root; in an installed wheel, they are in the package.
``--config-dir`` adds one of the user's folders, whose choices are listed with ours in help texts and error messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mfer_lightning.errors import UserError

#: Folders passed with ``--config-dir`` on the command line of this process.
_users: list[Path] = []


def config_dir() -> Path:
    """Return the ``conf`` folder of this package.

    Returns:
        The absolute path: ``<repository>/conf`` for an editable install, ``<package>/conf`` for an installed wheel.

    Raises:
        UserError: if neither exists, i.e. the installation is damaged.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "conf", package.parents[1] / "conf"):
        if (folder / "train.yaml").is_file():
            return folder
    raise UserError(
        f"The configuration files are missing: looked for conf/train.yaml in {package} and two levels above "
        "it. Reinstall the package."
    )


def config_dirs(arguments: Sequence[str]) -> list[str]:
    """Return the folders passed with ``--config-dir`` on a command line.

    Example:
        >>> config_dirs(["--config-dir", "mine", "-m", "-cd=yours"])
        ['mine', 'yours']
    """
    pairs = zip(arguments, [*arguments, ""][1:], strict=False)
    return [a.partition("=")[2] or after for a, after in pairs if a.partition("=")[0] in ("--config-dir", "-cd")]


def use_config_dirs(arguments: Sequence[str]) -> None:
    """Make this module also search the folders passed with ``--config-dir`` on a command line.

    Raises:
        UserError: if a file in such a folder has the name of a different file of the package, which Hydra would use
            instead without a message.
    """
    _users[:] = [Path(folder) for folder in config_dirs(arguments)]
    for folder in _users:
        for file in sorted(folder.rglob("*.yaml")):
            name = file.relative_to(folder)
            if (ours := config_dir() / name).is_file() and ours.read_bytes() != file.read_bytes():
                raise UserError(
                    f"{file} would have no effect, because mfer_lightning has a file {name.as_posix()}, which takes "
                    f"precedence. Rename it, e.g. to {name.with_stem(f'my_{name.stem}').as_posix()}."
                )


def choices(group: str) -> list[str]:
    """List the choices of a configuration group.

    Args:
        group: name of the group, e.g. ``"loss"`` or ``"experiment"``.

    Returns:
        Names without ``.yaml``, sorted; those in subfolders as ``folder/name``.

    Example:
        >>> choices("head")
        ['linear', 'multiscale']
    """
    folders = [folder / group for folder in (config_dir(), *_users)]
    return sorted({f.relative_to(d).with_suffix("").as_posix() for d in folders for f in d.rglob("*.yaml")})


def config_file(name: str) -> Path | None:
    """Find a configuration file; as in Hydra, the files of the package take precedence over those of the user.

    Args:
        name: name without ``.yaml``, e.g. ``"predict"`` or ``"loss/dsf"``.

    Returns:
        Its path, or None if there is no such file.
    """
    return next((f for d in (config_dir(), *_users) if (f := d / f"{name}.yaml").is_file()), None)


def groups() -> list[str]:
    """List the configuration groups, sorted.

    Example:
        >>> "loss" in groups()
        True
    """
    found = {f.name for d in (config_dir(), *_users) if d.is_dir() for f in d.iterdir() if f.is_dir()}
    return sorted(name for name in found - {"local", "hydra"} if not name.startswith((".", "_")))
