"""A trained model from whatever a user has of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mfer_lightning.config.plugins import plugins_loaded
from mfer_lightning.errors import UserError, nearest
from mfer_lightning.inference.classifier import Classifier, TorchClassifier
from mfer_lightning.inference.model import read_model
from mfer_lightning.inference.precision import in_bfloat16
from mfer_lightning.inference.predictor import Predictor
from mfer_lightning.views import Views

#: What a loaded model may compute in.
PRECISIONS = ("float32", "bfloat16")


def load_model(
    where: str | Path,
    device: str = "auto",
    *,
    batch_size: int = 64,
    flip: bool | None = None,
    shift: float | None = None,
    precision: str = "float32",
    plugins: Sequence[str] = (),
) -> Predictor:
    """Load a trained model that takes photos, without executing anything that its file holds.

    Args:
        where: a run's folder, a checkpoint file, or what ``mfer export`` wrote: a folder, or an ``.onnx`` file.
        device: ``"auto"`` (a GPU where there is one), or a torch device, e.g. ``"cpu"`` or ``"cuda:1"``.
        batch_size: faces at a time.
        flip: average with the mirrored face; None: as the model's file says.
        shift: average with four copies shifted by this share of the side; None: as the model's file says.
        precision: ``"float32"``, or ``"bfloat16"``: twice as quick and more where the hardware multiplies it, half the
            memory, and probabilities differ by a hundredth or so.
        plugins: packages of yours that the model was trained with (``plugins=[...]``); importing them executes their
            code.

    Returns:
        The model: ``.predict(photos)``, ``.embed(photos)``, ``.class_names``.

    Raises:
        UserError: where there is no such model, or it is damaged, unsafe or of a newer version.
    """
    if precision not in PRECISIONS:
        raise UserError(f"precision={precision}: {nearest(str(precision), PRECISIONS)}")
    if _is_onnx(where):
        if precision != "float32":
            raise UserError(
                f"precision={precision}: an ONNX file computes in what it was written in: load the checkpoint, or "
                "export it with quantize=int8."
            )
        return Predictor(_onnx_classifier(where, device, flip, shift), batch_size=batch_size)
    with plugins_loaded(plugins):
        model = read_model(where, device)
    if precision == "bfloat16":
        in_bfloat16(model)
    views = Views.of_metadata(model.metadata, flip, shift)
    return Predictor(TorchClassifier(model, views), batch_size=batch_size)


def _is_onnx(where: str | Path) -> bool:
    path = Path(where).expanduser()
    return path.suffix == ".onnx" or (path / "model.onnx").is_file()


def _onnx_classifier(where: str | Path, device: str, flip: bool | None, shift: float | None) -> Classifier:
    if device not in ("auto", "cpu"):
        raise UserError(f"device={device}: ONNX files are run on the CPU here. Say device=cpu, or load the checkpoint.")
    try:
        from mfer_lightning.onnx import OnnxModel
    except ImportError as error:
        raise UserError(f"ONNX files need ONNX Runtime: pip install 'mfer_lightning[onnx]' ({error}).") from error
    model = OnnxModel(where)
    wished = Views.of_metadata(model.metadata, flip, shift)
    if wished != model.views:
        named = f"flip={str(flip).lower()}" if wished.flip != model.views.flip else f"shift={shift:g}"
        raise UserError(f"{named}: the ONNX file was made with another; load the checkpoint instead.")
    return model
