"""Lists of faces that come with the package, by name.

- ``ferplus_dev_twins``: training faces of FERPlus, protocol ``ferplus@dev``, whose picture is also among the validation
  or the test faces, equal to the pixel or nearly. Made by ``mfer data dataset=ferplus dataset.protocol=dev
  dataset.target=crossentropy shared=<folder>``: its ``train-in-val.csv`` and ``train-in-test.csv`` together.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

#: Names of the lists.
SHIPPED_LISTS = ("ferplus_dev_twins",)


def find_list(given: str | Path) -> Path:
    """Find the file of a list: the one at a path, or the shipped one of this name.

    Args:
        given: a path, or a name of :data:`SHIPPED_LISTS`. A file that exists comes first.

    Returns:
        Its path, which need not exist.

    Example:
        >>> find_list("ferplus_dev_twins").name, find_list("my/list.txt").name
        ('ferplus_dev_twins.csv', 'list.txt')
    """
    path = Path(given).expanduser()
    if str(given) in SHIPPED_LISTS and not path.exists():
        return Path(str(files(__package__) / f"{given}.csv"))
    return path
