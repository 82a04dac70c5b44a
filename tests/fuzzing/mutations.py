"""Damage bytes, text, tables, JSON and archives with Hypothesis draws, so that examples can be repeated and shrunk."""

from __future__ import annotations

import copy
import io
import math
import warnings
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

#: Draws a value from a strategy, like ``data.draw`` of ``st.data()``.
Draw = Callable[[st.SearchStrategy[Any]], Any]

_LONG = "ab" * 3_000
_DEEP: Any = 1
for _ in range(40):
    _DEEP = [_DEEP]

#: Replacements for a value in JSON, YAML and model descriptions.
ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 10**9, -(10**9), 2**63, 10**30, 0.5, -0.0, 1e308, math.nan, math.inf, -math.inf),
    *("", " ", "x", "0", "-1", "1e999", "nan", "null", "../../x", "/etc/passwd"),
    *("a\nb", "\x1b[2J", "é", "\u202e", "${x}", "os.system", _LONG),
    *([], {}, [[]], [None], [1, "a"], {"": 1}, {"_target_": "os.system"}, {"name": None}, _DEEP),
)
#: Replacements for a cell of a table.
ODD_CELLS = (
    *("", " ", "0", "1", "-1", "7", "8", "11", "99", "1.5", "1e999", "nan", "inf", "-inf", "9" * 30),
    *("0x10", "1_0", "+3", "٣", "Ⅷ", "²", "true", "x", "happy", "Anger", "../../etc/passwd", "/etc/passwd"),
    *("..", ".", "a/b.png", "C:\\x.png", '"', '""', "'", "a,b", "a;b", "a\tb", "=1+1", "\x00", "\x1b[2J"),
    *("é", "\ufeff", "\u202e", "NaN", "None", _LONG),
)
_SIZES = (1, 2, 4, 8)


def edited_bytes(draw: Draw, content: bytes, hot: Sequence[range] = ()) -> bytes:
    """Change bytes in one to three places.

    Args:
        draw: draw function of Hypothesis.
        content: the bytes.
        hot: ranges that receive half of the changes, e.g. a header; empty: changes can be anywhere.
    """
    for _ in range(draw(st.integers(1, 3))):
        content = _EDITS[draw(st.sampled_from(sorted(_EDITS)))](draw, content, _position(draw, content, hot))
    return content


def _position(draw: Draw, content: bytes, hot: Sequence[range]) -> int:
    parts = [part for part in hot if len(part) and part[-1] < len(content)]
    if parts and draw(st.booleans()):
        part = draw(st.sampled_from(parts))
        return draw(st.integers(part[0], part[-1]))
    return draw(st.integers(0, max(0, len(content) - 1)))


def _length(draw: Draw) -> int:
    return draw(st.sampled_from((1, 2, 3, 4, 8, 16, 64, 500, 5_000)))


def _flip(draw: Draw, content: bytes, at: int) -> bytes:
    if not content:
        return content
    return content[:at] + bytes([content[at] ^ (1 << draw(st.integers(0, 7)))]) + content[at + 1 :]


def _set(draw: Draw, content: bytes, at: int) -> bytes:
    return content[:at] + bytes([draw(st.integers(0, 255))]) + content[at + 1 :]


def _number(draw: Draw, content: bytes, at: int) -> bytes:
    """Write an extreme number in either byte order."""
    size = draw(st.sampled_from(_SIZES))
    value = draw(st.sampled_from((0, 1, (1 << (8 * size - 1)) - 1, 1 << (8 * size - 1), (1 << (8 * size)) - 1, 1 << 7)))
    return content[:at] + value.to_bytes(size, draw(st.sampled_from(("little", "big")))) + content[at + size :]


def _cut_end(_: Draw, content: bytes, at: int) -> bytes:
    return content[:at]


def _cut_start(_: Draw, content: bytes, at: int) -> bytes:
    return content[at:]


def _cut_out(draw: Draw, content: bytes, at: int) -> bytes:
    return content[:at] + content[at + _length(draw) :]


def _repeat(draw: Draw, content: bytes, at: int) -> bytes:
    return content[:at] + content[at : at + _length(draw)] * draw(st.sampled_from((2, 3, 50))) + content[at:]


def _insert(draw: Draw, content: bytes, at: int) -> bytes:
    new = draw(
        st.one_of(st.binary(min_size=1, max_size=20), st.sampled_from((b"\0", b"\n", b"\xff" * 8, b"PK\x03\x04")))
    )
    return content[:at] + new + content[at:]


def _splice(draw: Draw, content: bytes, at: int) -> bytes:
    """Copy one part over another."""
    length, other = _length(draw), draw(st.integers(0, max(0, len(content) - 1)))
    return content[:at] + content[other : other + length] + content[at + length :]


def _zeros(draw: Draw, content: bytes, at: int) -> bytes:
    """Zero a block, like a block of a disk that was never written."""
    length = min(_length(draw), len(content) - at)
    return content[:at] + bytes(length) + content[at + length :]


_EDITS: dict[str, Callable[[Draw, bytes, int], bytes]] = {
    **{"flip": _flip, "set": _set, "number": _number, "cut end": _cut_end, "cut start": _cut_start},
    **{"cut out": _cut_out, "repeat": _repeat, "insert": _insert, "splice": _splice, "zeros": _zeros},
}


def edited_value(draw: Draw, value: Any, odd: Sequence[Any] = ODD_VALUES) -> Any:
    """Change one to three values of nested lists and mappings: replace, remove, rename or repeat them."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(value, 0))
        if not places:
            return draw(st.sampled_from(odd))
        holder, key = places[draw(st.integers(0, len(places) - 1))]
        what = draw(st.sampled_from(("replace", "replace", "remove", "rename", "move", "whole")))
        if what == "replace":
            holder[key] = copy.deepcopy(draw(st.sampled_from(odd)))
        elif what == "remove":
            del holder[key]
        elif what == "rename" and isinstance(holder, dict):
            holder[draw(st.sampled_from(("", "x", f"{key}_", 1, f"{key}".upper())))] = holder.pop(key)
        elif what == "whole" and draw(st.integers(0, 5)) == 0:
            return copy.deepcopy(draw(st.sampled_from(odd)))
        else:
            other, name = places[draw(st.integers(0, len(places) - 1))]
            holder[key] = copy.deepcopy(other[name])
    return value


def _places(value: Any, depth: int) -> Any:
    """Yield the container and key of every value in nested containers, up to a fixed depth."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(pairs):
        yield value, key
        if depth < 12:
            yield from _places(inner, depth + 1)


def edited_table(draw: Draw, text: str, separator: str = ",") -> str:
    """Change one to three rows or cells of a table of lines."""
    lines = text.split("\n")
    for _ in range(draw(st.integers(1, 3))):
        lines = lines or [""]  # an earlier change may have removed all rows
        at = draw(st.integers(0, len(lines) - 1))
        cells = lines[at].split(separator)
        what = draw(
            st.sampled_from(("cell", "cell", "cell", "copy", "drop", "swap", "add", "remove", "move", "row", "ends"))
        )
        column = draw(st.integers(0, len(cells) - 1))
        other = draw(st.integers(0, len(lines) - 1))
        if what == "cell":
            cells[column] = draw(st.sampled_from(ODD_CELLS))
        elif what == "swap":
            cells[column], cells[0] = cells[0], cells[column]
        elif what == "add":
            cells.insert(column, draw(st.sampled_from(ODD_CELLS)))
        elif what == "remove":
            del cells[column]
        elif what == "move":
            cells[column] = next(iter(lines[other].split(separator)[column:]), "")
        if what == "copy":
            lines.insert(other, lines[at])
        elif what == "drop":
            del lines[at : at + draw(st.sampled_from((1, 1, 5, 10_000)))]
        elif what == "row":
            lines[at] = draw(st.sampled_from(ODD_CELLS))
        elif what == "ends":
            lines[at] += draw(st.sampled_from(("\r", "\r\r", " ", separator, '"', "\x0c", "\x85", "\u2028")))
        else:
            lines[at] = separator.join(cells)
    return "\n".join(lines)


def edited_text(draw: Draw, text: str, separator: str = ",") -> bytes:
    """Change a text file: its rows and cells, its bytes, or its encoding."""
    what = draw(st.sampled_from(("table", "table", "table", "bytes", "encoding")))
    if what == "table":
        return edited_table(draw, text, separator).encode("utf-8", "surrogatepass")
    if what == "bytes":
        return edited_bytes(draw, text.encode())
    return edited_table(draw, text, separator).encode(
        draw(st.sampled_from(("utf-16", "utf-8-sig", "utf-32", "utf-7"))), "ignore"
    )


def edited_zip(draw: Draw, content: bytes) -> bytes:
    """Change the members of a zip archive, with checksums that match the changed content."""
    with zipfile.ZipFile(io.BytesIO(content)) as old:
        members = [(member.filename, old.read(member)) for member in old.infolist()]
    for _ in range(draw(st.integers(1, 2))):
        if not members:
            break
        at = draw(st.integers(0, len(members) - 1))
        name, data = members[at]
        what = draw(st.sampled_from(("content", "drop", "rename", "twice", "empty", "swap")))
        if what == "content":
            members[at] = (name, edited_bytes(draw, data))
        elif what == "drop":
            del members[at]
        elif what == "rename":
            members[at] = (draw(st.sampled_from(("../../x", "/etc/x", "", f"{name}x", name.upper(), "data.pkl"))), data)
        elif what == "twice":
            members.append((name, edited_bytes(draw, data)))
        elif what == "empty":
            members[at] = (name, b"")
        else:
            other = draw(st.integers(0, len(members) - 1))
            members[at], members[other] = (name, members[other][1]), (members[other][0], data)
    method = draw(st.sampled_from((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))
    target = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(target, "w", method) as new:
        warnings.simplefilter("ignore")  # two members with the same name
        for name, data in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            new.writestr(info, data)
    return target.getvalue()
