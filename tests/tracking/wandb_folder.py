"""Read the data of an offline W&B run: the records of its `.wandb` file, and its files.

The file is a LevelDB log (blocks of 32 KiB; each chunk with checksum, length and type) behind a header of 7 bytes; its
records are W&B's own protocol buffers.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2 as proto

HEADER, BLOCK, PIECE = 7, 32 * 1024, struct.Struct("<IHB")
WHOLE, FIRST, MIDDLE, LAST = 1, 2, 3, 4


@dataclass
class OfflineRun:
    """The data of one offline W&B run, and its folder."""

    folder: Path
    id: str = ""
    group: str = ""
    job_type: str = ""
    project: str = ""
    tags: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    artifacts: dict[str, Any] = field(default_factory=dict)
    exit_code: int | None = None
    preempting: bool = False
    text: bytes = b""

    @property
    def keys(self) -> set[str]:
        """All names in history or summary; for media, the logged names."""
        return {key for row in [*self.history, self.summary] for key in row}

    def table(self, key: str) -> tuple[list[str], list[list[Any]]]:
        """Columns and rows of a logged table."""
        content = json.loads((self.folder / "files" / self.media(key)["path"]).read_text(encoding="utf-8"))
        return content["columns"], content["data"]

    def media(self, key: str) -> dict[str, Any]:
        """The history entry of a table or image."""
        return next(row[key] for row in reversed(self.history) if key in row)


def read_offline_runs(run_dir: Path) -> list[OfflineRun]:
    """Read the offline W&B runs in a run folder, in the order in which their files were last written."""
    files = sorted((run_dir / "wandb").glob("offline-run-*/run-*.wandb"), key=lambda path: path.stat().st_mtime_ns)
    return [read_offline_run(path) for path in files]


def read_offline_run(path: Path) -> OfflineRun:
    run = OfflineRun(path.parent, text=path.read_bytes())
    for record in records(run.text):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run.id, run.group, run.job_type = record.run.run_id, record.run.run_group, record.run.job_type
            run.project, run.tags = record.run.project, list(record.run.tags)
            put(run.config, record.run.config.update)
        elif kind == "config":
            put(run.config, record.config.update)
        elif kind == "summary":
            put(run.summary, record.summary.update)
        elif kind == "history":
            put(row := {}, record.history.item)
            run.history.append(row)
        elif kind == "artifact":
            run.artifacts[record.artifact.type + ":" + record.artifact.name] = record.artifact
        elif kind == "preempting":
            run.preempting = True
        elif kind == "exit":
            run.exit_code = record.exit.exit_code
    return run


def records(data: bytes) -> Iterator[proto.Record]:
    assert data[:4] == b":W&B"
    at, parts = HEADER, b""
    while at + PIECE.size <= len(data):
        left = BLOCK - at % BLOCK
        if left < PIECE.size:  # the end of a block, too small for a chunk
            at += left
            continue
        _, length, kind = PIECE.unpack_from(data, at)
        at += PIECE.size
        parts += data[at : at + length]
        at += length
        if kind in (WHOLE, LAST):
            yield proto.Record.FromString(parts)
            parts = b""


def put(into: dict[str, Any], items: Any) -> None:
    for item in items:
        *parents, leaf = item.nested_key or [item.key]
        node = into
        for parent in parents:
            if not isinstance(node.get(parent), dict):
                node[parent] = {}
            node = node[parent]
        node[leaf] = json.loads(item.value_json)
