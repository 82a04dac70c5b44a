"""Name the exceptions that NumPy raises for damaged ``.npy`` and ``.npz`` files."""

from __future__ import annotations

import tokenize
import zipfile
import zlib

#: NumPy reads ``.npz`` files with zipfile, parses headers as Python source, and decodes text without checking it.
DAMAGE: tuple[type[Exception], ...] = (
    *(OSError, ValueError, KeyError, EOFError, TypeError, AttributeError, OverflowError, SyntaxError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error, NotImplementedError, MemoryError, tokenize.TokenError, SystemError),
)
