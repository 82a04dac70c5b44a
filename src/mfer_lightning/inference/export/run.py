"""``mfer export``: write a trained model for others, as weights with a card or as an ONNX file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from mfer_lightning.bundled.registry import is_bundled
from mfer_lightning.config.plugins import plugins_loaded
from mfer_lightning.errors import UserError, check_choice, check_least
from mfer_lightning.inference.checkpoint import run_folder
from mfer_lightning.inference.dataset import dataset_config, open_dataset, stored_config
from mfer_lightning.inference.export.atomic_folder import check_free
from mfer_lightning.inference.export.calibrate import calibrate_on_validation
from mfer_lightning.inference.export.card import calibration_in_words
from mfer_lightning.inference.export.half import save_half
from mfer_lightning.inference.export.parity import Comparison, Faces, drawn_faces, random_faces
from mfer_lightning.inference.match_classes import match_classes
from mfer_lightning.inference.model import FERModel, read_model
from mfer_lightning.inference.predict_split import SplitName

FORMATS = ("safetensors", "onnx")
QUANTISATIONS = ("none", "int8")

#: Largest share of wrong answers above the threshold where nothing else is said.
RISK = 0.1

#: Side in pixels at which a network that takes faces as they come is compared with itself in half precision.
_ANY_SIZE = 64


@dataclass(frozen=True)
class Exported:
    """A finished export.

    Args:
        folder: what was written.
        comparisons: of an ONNX file, or of weights in half precision, with the checkpoint.
        remark: why the comparison lacks validation faces; empty where it does not.
        calibrated: what ``calibrate`` has fitted, in sentences.
    """

    folder: Path
    comparisons: tuple[Comparison, ...] = ()
    remark: str = ""
    calibrated: tuple[str, ...] = ()


def export(
    checkpoint: str | PathLike[str],
    format: str = "safetensors",
    output: str | Path | None = None,
    *,
    replace: bool = False,
    half: bool = False,
    quantize: str = "none",
    calibrate: bool = False,
    risk: float = RISK,
    faces: int = 256,
    verify: bool = True,
    data: str | None = None,
    cache: str | None = None,
    loader: Mapping[str, Any] | None = None,
    plugins: Sequence[str] = (),
) -> Exported:
    """Write a trained model for others.

    Args:
        checkpoint: a run, a run's folder, a ``.ckpt`` file, a folder that ``format="safetensors"`` wrote, or the name
            of a bundled model.
        format: ``"safetensors"`` (Hugging Face layout) or ``"onnx"`` (runs without torch).
        output: folder to make; None: ``exports/<format>`` in the run's folder, ``exports/<name>-<format>`` for a
            bundled model.
        replace: replace an earlier export in that folder.
        half: of ``format="safetensors"``: write the weights in half precision and measure what it costs.
        quantize: of an ONNX file: ``"none"`` or ``"int8"``.
        calibrate: fit a temperature on the run's predictions on val, by which the export divides its logits, and choose
            below which probability a face is uncertain.
        risk: with ``calibrate``: largest share of wrong answers among those that are not uncertain.
        faces: validation faces for the comparison of an ONNX file, or of half precision, with the checkpoint; 0: none
            are read.
        verify: compare the weights with the checksums in their file.
        data: the data root; None: where the data were when the checkpoint was trained.
        cache: folder of decoded images; None: the default.
        loader: ``eval_batch_size`` and ``num_workers`` for reading validation faces.
        plugins: packages of yours that the model was trained with; importing them executes their code.

    Returns:
        What was written.

    Raises:
        UserError: for illegal options, an output folder that is in use, or a network that cannot be exported.
    """
    check_choice("format", format, FORMATS)
    check_choice("quantize", quantize, QUANTISATIONS)
    if quantize != "none" and format != "onnx":
        raise UserError(f"quantize={quantize} belongs to format=onnx.")
    if half and format != "safetensors":
        raise UserError("half=true belongs to format=safetensors; format=onnx has quantize=int8.")
    if not 0 < risk < 1:
        raise UserError(f"risk={risk}: the value must be above 0 and below 1, e.g. 0.1.")
    if risk != RISK and not calibrate:
        raise UserError(f"risk={risk} belongs to calibrate=true.")
    check_least("faces", faces, 0)
    with plugins_loaded(plugins):
        model = read_model(checkpoint, "cpu", verify=verify)
    if calibrate:
        calibrate_on_validation(model, risk)
    calibrated = tuple(calibration_in_words(model.metadata)) if calibrate else ()
    kind = f"{format}-half" if half else format if quantize == "none" else f"{format}-{quantize}"
    folder = _default_folder(model, kind) if output is None else Path(output).expanduser()
    check_free(folder, replace=replace)
    if format == "safetensors" and not half:
        return Exported(model.save_pretrained(folder, replace=replace), calibrated=calibrated)
    size, resizes = _size(model, format), model.preprocess.size is not None
    loader = {"eval_batch_size": 16, "num_workers": 0} if loader is None else loader
    with plugins_loaded(plugins):
        validation, remark = _validation_faces(model, faces, data, cache, loader)
    compared = [*(validation or drawn_faces(size, resizes)), random_faces(size, resizes)]
    remarks = [remark] if remark else []
    if half:
        found = save_half(model, folder, compared, remarks=remarks, replace=replace)
        return Exported(folder, tuple(found), remark, calibrated)

    from mfer_lightning.inference.export.onnx_file import save_onnx  # needs ONNX Runtime, an extra

    found = save_onnx(model, folder, compared, size=size, quantize=quantize, remarks=remarks, replace=replace)
    return Exported(folder, tuple(found), remark, calibrated)


def _default_folder(model: FERModel, kind: str) -> Path:
    assert model.source is not None
    stem, run = model.source.stem, run_folder(model.source)
    if run is None:
        return (Path("exports") if is_bundled(model.source) else model.source.parent) / f"{stem}-{kind}"
    return run / "exports" / (kind if stem == "best" else f"{stem}-{kind}")


def _size(model: FERModel, format: str) -> int:
    """Find the side of the network's input: what it resizes to, or the size of its training faces."""
    stored = (model.metadata.get("config") or {}).get("dataset") or {}
    size = model.preprocess.size or stored.get("size")
    if not isinstance(size, int):
        if format == "safetensors":
            return _ANY_SIZE
        raise UserError(
            "The checkpoint takes faces as they come, and does not say of which size: an ONNX file needs one. "
            "Train with preprocess.size=..., or export with format=safetensors."
        )
    return size


def _validation_faces(
    model: FERModel, most: int, data: str | None, cache: str | None, loader: Mapping[str, Any]
) -> tuple[list[Faces], str]:
    """Read faces of the split that the checkpoint was selected on; none and the reason where they are missing."""
    if most == 0:
        return [], "No validation faces were read, as asked (faces=0): the cost in accuracy is not measured."
    try:
        datamodule = open_dataset(dataset_config(None, (), stored_config(model.metadata), data), loader, cache)
        split: SplitName = "val" if len(datamodule.splits.val) else "test"
        match = match_classes(model.class_names, datamodule.class_names)
        batches, labels = [], []
        for batch in datamodule.predict_dataloader(split):
            batches.append(batch["image"].numpy())
            labels.append(batch["label"].numpy())
            if sum(map(len, batches)) >= most:
                break
        if not batches:
            raise UserError(f"{datamodule.protocol.name} has no faces to compare on.")
    except UserError as error:
        reason = str(error).split(". ")[0].rstrip(".")
        return [], f"The run's validation faces are not at hand ({reason}): the cost in accuracy is not measured."
    columns = np.array([*match.columns, -1])  # label -1 stays -1
    label = columns[np.concatenate(labels)]
    return [Faces(f"{split} of {datamodule.protocol.name}", batches, label)], ""
