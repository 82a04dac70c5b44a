"""Inspect an ONNX file before loading it: reject external data, custom operators, control flow and NaN weights.

No library is used, because ONNX Runtime exposes the graph only after loading the file, and the onnx package, which is
not needed to run a model, copies all weights while parsing. Here, the file is memory-mapped, and only the metadata and
the protocol buffer fields that decide whether it may be loaded are parsed. Field numbers come from onnx.proto3 (ONNX,
Apache 2.0).
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mfer_lightning.errors import UserError
from mfer_lightning.plurals import counted

#: Maximum size of a protocol buffer.
MOST_BYTES = 2**31 - 1
#: Maximum number of nodes in a graph. Our largest networks have a few thousand.
MOST_NODES = 100_000

_STANDARD = ("", "ai.onnx")
_FLOAT, _DOUBLE = 1, 11
_CHUNK = 1 << 22

Value = int | memoryview


def inspect(path: Path) -> tuple[dict[str, str], str]:
    """Read the metadata of an ONNX file, and reject anything that our exports never contain.

    Args:
        path: the file.

    Returns:
        The metadata, key -> text, and the SHA-256 of the graph: operations and weights.

    Raises:
        UserError: if the file is missing, truncated or not an ONNX file; stores tensors in other files; uses operators
            outside the standard, control flow or functions; or contains weights that are not finite.
    """
    if not path.is_file():
        raise UserError(f"There is no ONNX file {path}. Write one with: mfer export checkpoint=<run> format=onnx")
    size = path.stat().st_size
    if not 0 < size <= MOST_BYTES:
        raise UserError(f"{path} is not an ONNX file: its size is {size:,} bytes, but must be 1 to {MOST_BYTES:,}.")
    with path.open("rb") as file:
        # Not closed here, because the traceback of an error may hold views. The last view unmaps the file.
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        return _model(memoryview(mapped), path)
    except (_MalformedError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is truncated, damaged or not ONNX ({error}). Export the model again.") from None


class _MalformedError(Exception):
    """The bytes are not a protocol buffer."""


def _model(view: memoryview, path: Path) -> tuple[dict[str, str], str]:
    graphs, metadata, digest = 0, {}, ""
    for number, value in _fields(view):
        if number == 7:
            graphs += 1
            _graph(_bytes(value), path)
            digest = hashlib.sha256(_bytes(value)).hexdigest()
        elif number == 8:
            domain = "".join(_text(v) for n, v in _fields(_bytes(value)) if n == 1)
            _check_domain(domain, path)
        elif number == 14:
            entry = {n: _text(v) for n, v in _fields(_bytes(value)) if n in (1, 2)}
            metadata[entry.get(1, "")] = entry.get(2, "")
        elif number in (20, 25):
            _refuse(path, "training steps" if number == 20 else "its own functions")
    if graphs != 1:
        raise _MalformedError(counted(graphs, "graph"))
    return metadata, digest


def _graph(view: memoryview, path: Path) -> None:
    nodes = 0
    for number, value in _fields(view):
        if number == 1:
            nodes += 1
            if nodes > MOST_NODES:
                _refuse(path, f"more than {MOST_NODES:,} operations")
            _node(_bytes(value), path)
        elif number == 5:
            _tensor(_bytes(value), path)
        elif number == 15:
            _refuse(path, "sparse tensors")


def _node(view: memoryview, path: Path) -> None:
    for number, value in _fields(view):
        if number == 4:
            _text(value)  # any name of an operator is allowed, but it must be text
        elif number == 7:
            _check_domain(_text(value), path)
        elif number == 5:
            for part, inner in _fields(_bytes(value)):
                if part in (5, 10):
                    _tensor(_bytes(inner), path)
                elif part in (6, 11):
                    _refuse(path, "control flow")
                elif part in (22, 23):
                    _refuse(path, "sparse tensors")


def _tensor(view: memoryview, path: Path) -> None:
    kind, raw = 0, memoryview(b"")
    for number, value in _fields(view):
        if number == 13 or (number == 14 and value == 1):
            _refuse(path, "tensors in other files")
        elif number == 2 and isinstance(value, int):
            kind = value
        elif number == 9:
            raw = _bytes(value)
        elif number in (4, 10):
            _check_finite(_bytes(value), "<f4" if number == 4 else "<f8", path)
    if raw and kind in (_FLOAT, _DOUBLE):
        _check_finite(raw, "<f4" if kind == _FLOAT else "<f8", path)


def _check_finite(raw: memoryview, kind: str, path: Path) -> None:
    if len(raw) % np.dtype(kind).itemsize:
        raise _MalformedError("a tensor whose size is not a multiple of its element size")
    numbers = np.frombuffer(raw, dtype=kind)
    for start in range(0, len(numbers), _CHUNK):
        if not np.isfinite(numbers[start : start + _CHUNK]).all():
            raise UserError(
                f"{path} contains weights that are not finite (NaN or infinity); the training probably "
                "diverged. Export another checkpoint."
            )


def _check_domain(domain: str, path: Path) -> None:
    if domain not in _STANDARD:
        _refuse(path, f"operators of the domain {domain[:80]!r}")


def _refuse(path: Path, what: str) -> None:
    raise UserError(
        f"{path} is rejected because it has {what}. Exports of mfer_lightning never have this, so the file may be "
        "unsafe. Export the model again: mfer export checkpoint=<run> format=onnx"
    )


def _fields(view: memoryview) -> Iterator[tuple[int, Value]]:
    """Yield number and value of each field of a message."""
    at, end = 0, len(view)
    while at < end:
        key, at = _varint(view, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(view, at)
            yield number, value
            continue
        length = {1: 8, 5: 4}.get(kind)
        if kind == 2:
            length, at = _varint(view, at)
        if length is None or length > end - at or number == 0:
            raise _MalformedError(f"field {number} of wire type {kind} at byte {at} of {end}")
        yield number, view[at : at + length]
        at += length


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    result = 0
    for shift in range(0, 70, 7):
        if at >= len(view):
            raise _MalformedError("it ends within a number")
        byte = view[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, at
    raise _MalformedError("a number of more than ten bytes")


def _bytes(value: Value) -> memoryview:
    if isinstance(value, int):
        raise _MalformedError("a number where a message should be")
    return value


def _text(value: Value) -> str:
    return bytes(_bytes(value)).decode("utf-8")
