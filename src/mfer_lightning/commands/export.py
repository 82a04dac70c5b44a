"""``mfer export``: a trained model written for others, as weights with a card or as an ONNX file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfer_lightning.config.compose import run_verb
from mfer_lightning.errors import UserError, nearest

if TYPE_CHECKING:
    from mfer_lightning.inference.export.parity import Faces
    from mfer_lightning.inference.model import FERModel
    from mfer_lightning.inference.predict_split import SplitName

FORMATS = ("safetensors", "onnx")
QUANTISATIONS = ("none", "int8")


def main(arguments: Sequence[str]) -> int:
    """Run ``mfer export``.

    Args:
        arguments: the command line after the verb.

    Returns:
        Exit code: 0, or 1 where one of several exports failed.
    """
    return run_verb("export", _export, arguments)


def _export(config: dict[str, Any]) -> None:
    _check(config)

    from mfer_lightning.inference.export.folder import check_free
    from mfer_lightning.inference.model import read_model

    model = read_model(config["checkpoint"], "cpu")
    output = _output(config, model)
    check_free(output, replace=config["replace"])
    if config["format"] == "safetensors":
        model.save_pretrained(output, replace=config["replace"])
    else:
        _onnx(config, model, output)
    print(f"Written: {output}")
    for path in sorted(output.iterdir()):
        print(f"  {path.name:<18} {path.stat().st_size:>13,} bytes")


def _check(config: dict[str, Any]) -> None:
    if config["checkpoint"] is None:
        raise UserError("Say what to export: checkpoint=<a run's folder or a .ckpt file>.")
    for option, legal in (("format", FORMATS), ("quantize", QUANTISATIONS)):
        if config[option] not in legal:
            raise UserError(f"{option}={config[option]}: {nearest(config[option], legal)}")
    if config["quantize"] != "none" and config["format"] != "onnx":
        raise UserError(f"quantize={config['quantize']} belongs to format=onnx.")
    if config["faces"] < 0:
        raise UserError(f"faces={config['faces']}: the value must be at least 0.")


def _output(config: dict[str, Any], model: FERModel) -> Path:
    from mfer_lightning.inference.checkpoint_path import run_folder

    if config["output"] is not None:
        return Path(config["output"]).expanduser()
    assert model.source is not None
    run = run_folder(model.source)
    name = config["format"] + (f"-{config['quantize']}" if config["quantize"] != "none" else "")
    if run is not None:
        name = name if model.source.stem == "best" else f"{model.source.stem}-{name}"
        return run / "exports" / name
    return model.source.parent / f"{model.source.stem}-{name}"


def _onnx(config: dict[str, Any], model: FERModel, output: Path) -> None:
    from mfer_lightning.inference.export.onnx_file import save_onnx
    from mfer_lightning.inference.export.parity import drawn_faces, random_faces

    size = _size(model)
    resizes = model.preprocess.size is not None
    validation, remark = _validation_faces(config, model)
    faces = drawn_faces(size, resizes) if validation is None else [validation]
    found = save_onnx(
        model,
        output,
        [*faces, random_faces(size, resizes)],
        size=size,
        quantize=config["quantize"],
        remarks=[remark] if remark else [],
        replace=config["replace"],
    )
    print(f"ONNX in {'float32' if config['quantize'] == 'none' else 'int8'} against the checkpoint in float32:")
    for comparison in found:
        print(f"  {comparison.sentence}")
    if remark:
        print(f"  {remark}")


def _size(model: FERModel) -> int:
    """Find the side of the network's input: what it resizes to, or what its dataset gives."""
    stored = (model.metadata.get("config") or {}).get("dataset") or {}
    size = model.preprocess.size or stored.get("size")
    if not isinstance(size, int):
        raise UserError(
            "The checkpoint takes faces as they come, and does not say of which size: an ONNX file needs one. "
            "Train with preprocess.size=..., or export with format=safetensors."
        )
    return size


def _validation_faces(config: dict[str, Any], model: FERModel) -> tuple[Faces | None, str]:
    """Read faces of the split that the checkpoint was selected on; None and the reason where they are not here."""
    import numpy as np

    from mfer_lightning.inference.dataset_choice import dataset_config, open_dataset
    from mfer_lightning.inference.export.parity import Faces
    from mfer_lightning.inference.match_classes import match_classes

    if config["faces"] == 0:
        return None, "No validation faces were read, as asked (faces=0): the cost in accuracy is not measured."
    try:
        spec = dataset_config(None, (), model.metadata.get("config"), config["paths"]["data"])
        datamodule = open_dataset(spec, config["loader"], config["paths"]["cache"])
        split: SplitName = "val" if len(datamodule.splits.val) else "test"
        match = match_classes(model.class_names, datamodule.class_names)
        batches, labels = [], []
        for batch in datamodule.predict_dataloader(split):
            batches.append(batch["image"].numpy())
            labels.append(batch["label"].numpy())
            if sum(map(len, batches)) >= config["faces"]:
                break
        if not batches:
            raise UserError(f"{datamodule.protocol.name} has no faces to compare on.")
    except UserError as error:
        reason = str(error).split(". ")[0].rstrip(".")
        return None, f"The run's validation faces are not at hand ({reason}): the cost in accuracy is not measured."
    columns = np.array([*match.columns, -1])  # label -1 stays -1
    label = columns[np.concatenate(labels)]
    return Faces(f"{split} of {datamodule.protocol.name}", batches, label), ""
