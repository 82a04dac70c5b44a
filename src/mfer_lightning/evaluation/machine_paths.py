"""Remove machine-specific paths from published results."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

#: Values of ``paths.*`` in a published configuration: the defaults.
NEUTRAL: Mapping[str, str | None] = {"data": "data", "runs": "runs", "cache": None}

#: A user's home folder, in POSIX or Windows notation.
_HOME = re.compile(r"(?<![\w.~-])(?:/(?:home|Users)/[^/\s\"']+|/root(?![\w.-])|[A-Za-z]:[\\/]+Users[\\/]+[^\\/\s\"']+)")


class PathRemover:
    """Replace the paths in a configuration with neutral ones.

    Paths are not part of a method (:mod:`mfer_lightning.sweeps.identity`), so a report groups the runs as before.

    Args:
        config: configuration of a run.

    Example:
        >>> paths = PathRemover({"paths": {"data": "/sets", "runs": "/big/runs", "cache": None}})
        >>> paths.remove({"root": "/sets/ferplus", "weights": "/big/runs/a/checkpoints/best.ckpt"})
        {'root': 'data/ferplus', 'weights': 'runs/a/checkpoints/best.ckpt'}
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        paths, dataset = config.get("paths"), config.get("dataset")
        named = {key: str(value) for key, value in paths.items() if value} if isinstance(paths, Mapping) else {}
        self.data = named.get("data", "")
        self.root = str(dataset.get("root") or "") if isinstance(dataset, Mapping) else ""
        known = {path: NEUTRAL.get(key) or key for key, path in named.items() if is_absolute(path)}
        known |= {str(Path(path).expanduser()): name for path, name in known.items()}
        self._known = sorted(known.items(), key=lambda pair: -len(pair[0]))  # /sets/runs before /sets

    def remove(self, value: Any, key: str = "") -> Any:
        """Copy plain nested values with machine-specific paths replaced; ``key`` is the key of the value."""
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, (list, tuple)):
            return [self.remove(item) for item in value]
        if not isinstance(value, Mapping):
            return value
        found = {name: self.remove(item, str(name)) for name, item in value.items()}
        if key == "paths":
            found |= {name: NEUTRAL[name] for name in found if name in NEUTRAL}
        root = str(value.get("root"))
        if key == "dataset" and self.data and "root" in value and root.startswith(self.data):
            found["root"] = f"{NEUTRAL['data']}{root.removeprefix(self.data)}"  # reports use it to tell datasets apart
        return found

    def _text(self, text: str) -> str:
        for path, name in self._known:
            text = re.sub(rf"(?<![\w.~-]){re.escape(path.rstrip('/'))}(?![\w-])", name, text)
        return elsewhere(text) if is_absolute(text) else text


def is_absolute(path: str) -> bool:
    r"""Whether a string is a path from a file-system root or a home directory.

    Example:
        >>> is_absolute("/sets/a b"), is_absolute("~/sets"), is_absolute("C:\\sets"), is_absolute("sets/a")
        (True, True, True, False)
        >>> is_absolute("~5% of the faces"), is_absolute("/ 2")
        (False, False)
    """
    return re.match(r"/[^/\s]|~[\w.-]*[/\\]", path) is not None or PureWindowsPath(path).is_absolute()


def elsewhere(path: str) -> str:
    """Replace the location of a file or folder with a hash of it; equal locations give equal hashes.

    Example:
        >>> elsewhere("/somewhere/own/face.pth")
        'elsewhere-2dee2923/face.pth'
    """
    parts = (PureWindowsPath(path) if PureWindowsPath(path).drive else PurePosixPath(path)).parts
    told = 3 if parts[-2:-1] == ("checkpoints",) and len(parts) > 3 else 1  # the run's name identifies the checkpoint
    digest = hashlib.sha256("/".join(parts[:-told]).encode()).hexdigest()[:8]
    return "/".join([f"elsewhere-{digest}", *parts[-told:]])


def private_folder(text: str) -> str | None:
    """Find a user's home folder in a text; return None if there is none.

    Example:
        >>> private_folder("read from /Users/ann/sets."), private_folder("photos/home/ann.jpg")
        ('/Users/ann', None)
    """
    found = _HOME.search(text)
    if found is not None:
        return found[0]
    home = str(Path.home())
    own = rf"(?<![\w.~-]){re.escape(home)}(?![\w-])"
    return home if len(Path(home).parts) > 1 and re.search(own, text) else None
