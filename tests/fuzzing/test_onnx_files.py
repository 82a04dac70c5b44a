"""Damaged ONNX exports give the correct numbers or one error message."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzzing.campaign import COUNTS, Kind, survives
from fuzzing.models import ask, same_as
from fuzzing.mutations import Draw, edited_bytes, edited_value
from fuzzing.planted import FAULTS, found
from hypothesis import strategies as st

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

_NOTES, _DIGEST = "mfer_lightning", "mfer_lightning.sha256"


class OnnxFile:
    """Damage an ONNX file; remember whether the last damage removed its checksum."""

    def __init__(self, folder: Path) -> None:
        self.content = (folder / "model.onnx").read_bytes()
        at = self.content.index(_NOTES.encode())
        self.notes = [range(max(0, at - 100), len(self.content)), range(4_000)]
        self.kept = True

    def damage(self, draw: Draw, folder: Path) -> None:
        path, what = folder / "model.onnx", draw(st.sampled_from(("bytes", "bytes", "notes", "graph")))
        self.kept = what == "bytes"
        if what == "bytes":
            path.write_bytes(edited_bytes(draw, self.content, self.notes))
            return
        proto = onnx.load_from_string(self.content)
        entries = {entry.key: entry for entry in proto.metadata_props}
        proto.metadata_props.remove(entries[_DIGEST])
        if what == "notes":
            entries[_NOTES].value = json.dumps(edited_value(draw, json.loads(entries[_NOTES].value)))
        else:
            damage_graph(draw, proto.graph)
        path.write_bytes(proto.SerializeToString())


def damage_graph(draw: Draw, graph: Any) -> None:
    """Change a node, a weight, an input or an output."""
    what = draw(
        st.sampled_from(("operator", "input", "output", "drop", "copy", "dims", "data", "interface", "attribute"))
    )
    node = graph.node[draw(st.integers(0, len(graph.node) - 1))]
    weight = graph.initializer[draw(st.integers(0, len(graph.initializer) - 1))]
    names = sorted({name for one in graph.node for name in (*one.input, *one.output)})
    if what == "operator":
        node.op_type = draw(st.sampled_from(("Relu", "Conv", "MatMul", "Add", "Reshape", "NoSuch", "", "Identity")))
    elif what == "input" and len(node.input):
        node.input[draw(st.integers(0, len(node.input) - 1))] = draw(st.sampled_from((*names, "x", "")))
    elif what == "output" and len(node.output):
        node.output[0] = draw(st.sampled_from((*names, "x", "")))
    elif what == "drop":
        graph.node.remove(node)
    elif what == "copy":
        graph.node.add().CopyFrom(node)
    elif what == "dims" and len(weight.dims):
        weight.dims[0] = draw(st.sampled_from((0, 1, -1, 7, 10**9, 2**62)))
    elif what == "data":
        weight.raw_data = draw(st.sampled_from((b"", bytes(len(weight.raw_data)), weight.raw_data[:-1], b"\0")))
    elif what == "interface":
        value = draw(st.sampled_from((0, 1)))
        side = (graph.input, graph.output)[value]
        side[draw(st.integers(0, len(side) - 1))].name = draw(st.sampled_from(("x", "", "faces", "logits")))
    elif what == "attribute" and len(node.attribute):
        attribute = node.attribute[draw(st.integers(0, len(node.attribute) - 1))]
        attribute.i = draw(st.sampled_from((-1, 0, 3, 1 << 40)))
        if len(attribute.ints):
            attribute.ints[0] = draw(st.sampled_from((-1, 0, 3, 1 << 40)))


@pytest.fixture(scope="module")
def kind(onnx_export: Path) -> Kind:
    damages = OnnxFile(onnx_export)
    check = same_as(ask(onnx_export), lambda: damages.kept)
    return Kind(
        onnx_export, damages.damage, ask, check, planted="mfer_lightning.inference.load:_onnx_classifier", spoil=_other
    )


def _other(model: Any) -> Any:
    before = model._run
    model._run = lambda *of: tuple(np.ascontiguousarray(part[:, ::-1]) for part in before(*of))
    return model


@COUNTS
def test_damaged_onnx_file_is_read_correctly_or_rejected(kind: Kind, tmp_path: Path, count: int) -> None:
    survives(kind, tmp_path, count)


@pytest.mark.parametrize("fault", FAULTS)
def test_harness_detects_a_planted_fault(
    kind: Kind, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert found(kind, fault, tmp_path, monkeypatch)
