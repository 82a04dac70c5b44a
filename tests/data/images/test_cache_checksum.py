"""A modified cache file is rebuilt with one message."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mfer_lightning.data.images import cache_checksum
from mfer_lightning.data.images.cache import CacheFile, build_cache
from mfer_lightning.data.images.cache_checksum import is_intact


class Numbers:
    """Images filled with their row number; ``decoded`` counts the reads."""

    def __init__(self) -> None:
        self.decoded = 0

    def read(self, row: int) -> NDArray[np.uint8]:
        self.decoded += 1
        return np.full((4, 4, 3), row, dtype=np.uint8)

    def name(self, row: int) -> str:
        return f"{row}.png"

    def fingerprint(self, rows: NDArray[np.int64]) -> str:
        return "0" * 40


@pytest.fixture
def source() -> Numbers:
    return Numbers()


def build(source: Numbers, folder: Path, said: list[str]) -> Path:
    return build_cache(source, np.arange(6), folder, "numbers", workers=1, announce=said.append)  # type: ignore[arg-type]


def test_intact_cache_is_reused(source: Numbers, tmp_path: Path) -> None:
    path = build(source, tmp_path, [])
    first, said = source.decoded, []
    assert build(source, tmp_path, said) == path
    assert (source.decoded, said) == (first, [])
    np.testing.assert_array_equal(CacheFile(path).images[:, 0, 0, 0], np.arange(6))


@pytest.mark.parametrize("damage", ["bit", "cut", "earlier version", "empty"])
def test_modified_cache_is_rebuilt_with_one_message(source: Numbers, tmp_path: Path, damage: str) -> None:
    path = build(source, tmp_path, [])
    whole = path.read_bytes()
    changed = {
        "bit": whole[:200] + bytes([whole[200] ^ 4]) + whole[201:],
        "cut": whole[:-90],
        "earlier version": whole[: -cache_checksum._LENGTH],
        "empty": b"",
    }[damage]
    path.write_bytes(changed)
    said: list[str] = []
    assert build(source, tmp_path, said) == path
    assert [line for line in said if "It will be rebuilt" in line] == [
        f"The image cache {path} is damaged, or from an earlier version. It will be rebuilt."
    ]
    np.testing.assert_array_equal(CacheFile(path).images[:, 0, 0, 0], np.arange(6))
    assert is_intact(path)


def test_large_cache_is_verified_only_if_it_was_modified(
    source: Numbers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = build(source, tmp_path, [])
    monkeypatch.setattr(cache_checksum, "ALWAYS_BELOW", 0)
    stamp = path.stat().st_mtime_ns
    content = bytearray(path.read_bytes())
    content[200] ^= 4
    path.write_bytes(bytes(content))
    assert not is_intact(path)
    os.utime(path, ns=(stamp, stamp))
    assert is_intact(path)  # the cost of not reading it
