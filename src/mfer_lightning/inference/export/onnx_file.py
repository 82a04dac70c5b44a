"""Export a model to an ONNX file with metadata, and compare its predictions with the checkpoint's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from mfer_lightning.errors import UserError
from mfer_lightning.files import write_json, write_text
from mfer_lightning.inference.export.atomic_folder import atomic_folder
from mfer_lightning.inference.export.card import model_card
from mfer_lightning.inference.export.onnx_graph import OPSET, write_graph
from mfer_lightning.inference.export.parity import TOLERANCE, Comparison, Faces, compare
from mfer_lightning.inference.export.quantise import quantise
from mfer_lightning.inference.model import FERModel
from mfer_lightning.onnx import Description, OnnxModel
from mfer_lightning.onnx.inspect_file import inspect
from mfer_lightning.onnx.model import FILE
from mfer_lightning.views import Views

#: Entries of a description that go into the file's metadata, in addition to those needed to use the model.
_MORE = ("dataset", "protocol", "epoch", "calibration", "data_hash", "git", "versions", "network", "augmentation")


def save_onnx(
    model: FERModel,
    folder: str | Path,
    faces: Sequence[Faces],
    *,
    size: int,
    quantize: str = "none",
    remarks: Sequence[str] = (),
    replace: bool = False,
) -> list[Comparison]:
    """Write ``model.onnx``, ``export.json`` and a model card.

    Args:
        model: a loaded model.
        folder: written atomically.
        faces: faces for the comparison of the file with the checkpoint.
        size: side of the network's input in pixels.
        quantize: ``"none"`` or ``"int8"``.
        remarks: lines for the card, e.g. why validation faces are missing.
        replace: replace an earlier export in that folder.

    Returns:
        The comparisons of the written file.

    Raises:
        UserError: if the model cannot be exported or written, or the predictions of the file before quantisation differ
            from the checkpoint's by more than :data:`TOLERANCE`.
    """
    description = model.describe()
    with atomic_folder(folder, replace=replace) as temporary:
        path = temporary / FILE
        write_graph(model, path, size)
        annotate(path, model, size)
        exact = _compare_all(model, path, faces)
        worst = max(max(c.largest_difference, c.valence_arousal_difference or 0.0) for c in exact)
        if worst > TOLERANCE:
            raise UserError(
                f"The predictions of the ONNX file differ from those of the checkpoint by up to {worst:.1e} "
                f"(allowed: {TOLERANCE:.0e}), so nothing was written. Use format=safetensors for this network."
            )
        found = exact
        if quantize != "none":
            quantise(path)
            annotate(path, model, size, quantize)
            found = _compare_all(model, path, faces)
        lines = [c.sentence for c in found] + list(remarks)
        lines += [f"before quantisation, {c.sentence}" for c in exact if found is not exact]
        write_json(
            temporary / "export.json",
            {
                "format": "onnx",
                "opset": OPSET,
                "quantized": quantize,
                "bytes": path.stat().st_size,
                "comparisons": [asdict(c) for c in found],
                "before_quantisation": [asdict(c) for c in exact] if found is not exact else None,
                "remarks": list(remarks),
                "versions": description["versions"],
            },
        )
        write_text(temporary / "README.md", model_card(description, "onnx", lines))
    return found


def _compare_all(model: FERModel, path: Path, faces: Sequence[Faces]) -> list[Comparison]:
    exported = OnnxModel(path)
    return [compare(model, exported, some) for some in faces]


def annotate(path: Path, model: FERModel, size: int, quantized: str = "none") -> None:
    """Write the metadata into a file, and remove the exporter's notes on source lines and folders.

    Args:
        path: the ONNX file, changed in place.
        model: the exported model.
        size: side of the network's input in pixels.
        quantized: ``"none"`` or ``"int8"``.
    """
    import onnx

    said = model.describe()
    notes = Description(
        class_names=model.class_names,
        alignment=said["alignment"],
        size=size,
        resizes=model.preprocess.size is not None,
        views=Views.of_metadata(model.metadata),
        preprocess=model.preprocess.to_config(),
        quantized=quantized,
        more={key: said[key] for key in _MORE if key in said},
    )
    proto = onnx.load(str(path))
    proto.producer_name, proto.doc_string = "mfer_lightning", ""
    for node in proto.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*proto.graph.value_info, *proto.graph.input, *proto.graph.output, *proto.graph.initializer):
        del value.metadata_props[:]
    del proto.graph.metadata_props[:]
    used = {node.domain for node in proto.graph.node}  # ONNX Runtime lists all domains it knows
    kept = [entry for entry in proto.opset_import if entry.domain in used]
    del proto.opset_import[:]
    proto.opset_import.extend(kept)
    del proto.metadata_props[:]
    onnx.save(proto, str(path))
    _, graph = inspect(path)
    onnx.helper.set_model_props(proto, notes.to_notes(graph))
    onnx.checker.check_model(proto)
    onnx.save(proto, str(path))
