"""Find the bundled models by name and version, and check their files. Does not import torch.

Each model is a folder ``<name>-v<version>`` next to this file. It contains the output of ``mfer export half=true`` and
the ``result.json`` of the training run. ``index.json`` contains the SHA-256 of every file and the name of the default
model. ``docs/tools/bundle_model.py`` writes the folders and the index.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mfer_lightning.bundled.export_results import export_results
from mfer_lightning.errors import UserError
from mfer_lightning.files import sha256_of

#: Folder of the models and their index.
FOLDER = Path(__file__).resolve().parent
INDEX = "index.json"

#: Name of a model, and optionally its version.
_NAME = re.compile(r"([a-z][a-z0-9_]*)(?:-v([1-9]\d*))?")


@dataclass(frozen=True)
class BundledModel:
    """One version of a bundled model.

    Args:
        name: name without version, e.g. ``"ferplus"``.
        version: version number, from 1.
        folder: folder of the model.
        sha256: file name -> SHA-256 in the index, in hexadecimal digits.
    """

    name: str
    version: int
    folder: Path
    sha256: Mapping[str, str]

    @property
    def full_name(self) -> str:
        """Name and version, which always refer to the same weights."""
        return f"{self.name}-v{self.version}"

    def checked(self) -> Path:
        """Compare the files with the checksums in the index, and return the folder.

        Raises:
            UserError: if a file is missing or has changed.
        """
        for file, expected in self.sha256.items():
            path = self.folder / file
            if not path.is_file() or sha256_of(path) != expected:
                state = "changed" if path.is_file() else "missing"
                raise UserError(
                    f"The bundled model {self.full_name} is damaged: {state} file {path}. Reinstall mfer_lightning."
                )
        return self.folder

    def description(self) -> dict[str, Any]:
        """Read the content of its ``config.json``, without checking or loading the weights.

        Raises:
            UserError: if it cannot be read.
        """
        return _read(self.folder / "config.json")

    def result(self) -> dict[str, Any]:
        """Return its main result: on a test split if it was evaluated on one, otherwise on val; empty if unknown.

        Raises:
            UserError: if its description cannot be read.
        """
        description = self.description()
        results = export_results(description)
        if results != (description.get("results") or []):
            raise _damaged("its results are malformed", "config.json")
        return next((result for result in results if result["split"] == "test"), results[0] if results else {})


def bundled_models() -> list[BundledModel]:
    """List the models: the default one first, then by name, newest version first.

    Raises:
        UserError: if the index is damaged.
    """
    index = _index()
    found = []
    for full_name, digests in index["models"].items():
        name, version = _split(full_name)
        found.append(BundledModel(name, version or 1, FOLDER / full_name, digests))
    return sorted(found, key=lambda model: (model.name != index["default"], model.name, -model.version))


def find_bundled(name: str) -> BundledModel | None:
    """Find a model by name and version, or the newest version by name alone.

    Args:
        name: as given by the user, e.g. ``"ferplus"`` or ``"ferplus-v1"``, or a path.

    Returns:
        The model; None if there is no such model.

    Raises:
        UserError: if the index is damaged.
    """
    if not _NAME.fullmatch(name):
        return None
    wanted, version = _split(name)
    return next((m for m in bundled_models() if m.name == wanted and version in (None, m.version)), None)


def with_version(name: str) -> str:
    """Add the version to a bundled model's name, so that it refers to the same weights in later releases.

    Existing paths, which take precedence over names, and all other strings are returned unchanged.
    """
    model = None if Path(name).expanduser().exists() else find_bundled(name)
    return name if model is None else model.full_name


def precedence_note(name: str, option: str) -> str | None:
    """Return a note that a path is used instead of the bundled model of this name.

    Args:
        name: the value of the option.
        option: the option, ``"checkpoint"`` or ``"weights"``.

    Returns:
        A sentence that names the model; None if there is no such path, or no such model.
    """
    model = find_bundled(name)
    if model is None or not Path(name).expanduser().exists():
        return None
    other = f". To use the bundled model, set {option}={model.full_name}" if name != model.full_name else ""
    return f"{name} is a file or folder here, and is used instead of the bundled model{other}."


def default_model() -> BundledModel:
    """Return the default model.

    Raises:
        UserError: if this version has no bundled model, or the index is damaged.
    """
    models = bundled_models()
    if not models:
        raise UserError(
            "This version of mfer_lightning has no bundled model. Give one with checkpoint=<a run's folder, a "
            ".ckpt file or an exported folder>. mfer train creates a checkpoint."
        )
    return models[0]


def is_full_name(name: str) -> bool:
    """Whether a string is a model name with a version.

    Example:
        >>> is_full_name("ferplus-v1"), is_full_name("ferplus"), is_full_name("ferplus-v0")
        (True, False, False)
    """
    found = _NAME.fullmatch(name)
    return found is not None and found[2] is not None


def is_bundled(path: Path) -> bool:
    """Whether a path is directly in the folder of the bundled models, where nothing may be written."""
    return path.parent == FOLDER


def names_in_words() -> str:
    """Return a sentence that lists the names of all bundled models; empty if there are none."""
    names = [model.full_name for model in bundled_models()]
    return f"Bundled models: {', '.join(names)}." if names else ""


def _split(name: str) -> tuple[str, int | None]:
    found = _NAME.fullmatch(name)
    if found is None:
        raise _damaged(f"{name!r} is not a model name")
    return found[1], int(found[2]) if found[2] else None


def _index() -> dict[str, Any]:
    index = _read(FOLDER / INDEX)
    models = index.get("models")
    if not isinstance(models, dict) or not all(isinstance(digests, dict) for digests in models.values()):
        raise _damaged("it does not list models")
    default = index.get("default")
    if models and default not in {_split(name)[0] for name in models}:
        raise _damaged(f"its default, {default}, is not among the models")
    return {"default": default, "models": models}


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _damaged(str(error), path.name) from error
    if not isinstance(found, dict):
        raise _damaged("it is not a mapping", path.name)
    return found


def _damaged(why: str, file: str = INDEX) -> UserError:
    return UserError(f"{file} of the bundled models is damaged ({why}). Reinstall mfer_lightning.")
