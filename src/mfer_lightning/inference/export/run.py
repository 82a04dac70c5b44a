"""``mfer export``: export a trained model as weights with a model card or as an ONNX file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from mfer_lightning.bundled.registry import is_bundled
from mfer_lightning.config.plugins import plugins_loaded
from mfer_lightning.data.workers import killed_worker_explained
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

#: Default of the maximum fraction of incorrect predictions among those not marked as uncertain.
RISK = 0.1

#: Side in pixels of the faces for the half-precision comparison, if the input size of the network is unknown.
_ANY_SIZE = 64


@dataclass(frozen=True)
class Exported:
    """A finished export.

    Args:
        folder: the written folder.
        comparisons: comparisons with the checkpoint, for ONNX and half precision.
        remark: why the comparison has no validation faces; empty if it has some.
        calibrated: sentences that describe what ``calibrate`` fitted.
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
    """Export a trained model.

    Args:
        checkpoint: a run, a run's folder, a ``.ckpt`` file, a folder written with ``format="safetensors"``, or the name
            of a bundled model.
        format: ``"safetensors"`` (Hugging Face layout) or ``"onnx"`` (runs without torch).
        output: folder to create; None: ``exports/<format>`` in the run's folder (e.g. ``exports/last-<format>``
            for a checkpoint other than ``best.ckpt``), ``exports/<name>-<format>`` for a bundled model,
            ``<name>-<format>`` next to the source otherwise; ``half`` and ``quantize`` append ``-half`` and ``-int8``.
        replace: replace an earlier export in that folder.
        half: for ``format="safetensors"``: write the weights in half precision and measure the effect.
        quantize: for ``format="onnx"``: ``"none"`` or ``"int8"``.
        calibrate: fit a temperature on the run's validation predictions, by which the export divides its logits, and
            choose the threshold below which a prediction is uncertain.
        risk: with ``calibrate``: maximum fraction of incorrect predictions among those not marked as uncertain, within
            (0, 1).
        faces: number of validation faces for the comparison with the checkpoint, rounded up to whole batches; 0: none
            are read.
        verify: compare the weights with the stored checksums.
        data: the data root; None: ``MFER_DATA`` if it is set, otherwise the root used for training.
        cache: folder of decoded images; None: the default.
        loader: ``eval_batch_size`` and ``num_workers`` for reading validation faces.
        plugins: your own packages that define parts of the model; importing them executes their code.

    Returns:
        The export.

    Raises:
        UserError: for illegal options, an output folder that must not be replaced, a network that cannot be exported,
            or a loader worker that was killed.
    """
    check_choice("format", format, FORMATS)
    check_choice("quantize", quantize, QUANTISATIONS)
    if quantize != "none" and format != "onnx":
        raise UserError(f"quantize={quantize} needs format=onnx.")
    if half and format != "safetensors":
        raise UserError("half=true needs format=safetensors; with format=onnx, use quantize=int8.")
    if not 0 < risk < 1:
        raise UserError(f"risk={risk}: the value must be above 0 and below 1, e.g. 0.1.")
    if risk != RISK and not calibrate:
        raise UserError(f"risk={risk} has an effect only with calibrate=true.")
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
    with killed_worker_explained(), plugins_loaded(plugins):
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
    """Return the side of the network's input: the size it resizes to, or that of its training faces."""
    stored = (model.metadata.get("config") or {}).get("dataset") or {}
    size = model.preprocess.size or stored.get("size")
    if not isinstance(size, int):
        if format == "safetensors":
            return _ANY_SIZE
        raise UserError(
            "The network does not resize, and the checkpoint does not record its input size, which an ONNX file needs. "
            "Train with preprocess.size=..., or export with format=safetensors."
        )
    return size


def _validation_faces(
    model: FERModel, most: int, data: str | None, cache: str | None, loader: Mapping[str, Any]
) -> tuple[list[Faces], str]:
    """Read faces of val, or of test if val is empty; if they are not available, return no faces and the reason."""
    if most == 0:
        return [], "No validation faces were read (faces=0), so the cost in accuracy is not measured."
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
            raise UserError(f"{datamodule.protocol.name} has no faces for the comparison.")
    except UserError as error:
        reason = str(error).split(". ")[0].rstrip(".")
        return [], f"The run's validation faces are not available ({reason}), so the cost in accuracy is not measured."
    columns = np.array([*match.columns, -1])  # label -1 stays -1
    label = columns[np.concatenate(labels)]
    return [Faces(f"{split} of {datamodule.protocol.name}", batches, label)], ""
