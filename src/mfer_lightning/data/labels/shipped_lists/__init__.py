"""Lists of faces that are part of the package, by name.

- ``ferplus_dev_twins``: training faces of FERPlus under the protocol ``ferplus@dev`` that have an exact or near
  duplicate among the validation or test faces: ``train-in-val.csv`` and ``train-in-test.csv``, combined, from ``mfer
  data dataset=ferplus dataset.protocol=dev dataset.target=crossentropy shared=<folder>``.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

#: Names of the lists.
SHIPPED_LISTS = ("ferplus_dev_twins",)


def find_list(given: str | Path) -> Path:
    """Return the file of a list: an existing path, or the shipped list with this name.

    Args:
        given: a path, or a name in :data:`SHIPPED_LISTS`. An existing file takes precedence.

    Returns:
        The path, which need not exist.

    Example:
        >>> find_list("ferplus_dev_twins").name, find_list("my/list.txt").name
        ('ferplus_dev_twins.csv', 'list.txt')
    """
    path = Path(given).expanduser()
    if str(given) in SHIPPED_LISTS and not path.exists():
        return Path(str(files(__package__) / f"{given}.csv"))
    return path
