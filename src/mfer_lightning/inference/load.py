"""Load a trained model to classify faces in photos: a bundled model, or that of a run, a checkpoint or an export."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from mfer_lightning.confidence import check_uncertain
from mfer_lightning.config.plugins import plugins_loaded
from mfer_lightning.errors import UserError, check_count
from mfer_lightning.inference.arithmetic import check_precision, choose_precision, set_precision
from mfer_lightning.inference.checkpoint import model_path
from mfer_lightning.inference.classifier import Classifier, TorchClassifier
from mfer_lightning.inference.compilation import check_compile, compile_model
from mfer_lightning.inference.default_model import use_default_model
from mfer_lightning.inference.model import read_model, usual_batch
from mfer_lightning.inference.predictor import Predictor
from mfer_lightning.views import Views


def load_model(
    where: str | PathLike[str] | None = None,
    device: str = "auto",
    *,
    batch_size: int | None = None,
    flip: bool | None = None,
    shift: float | None = None,
    precision: str = "32-true",
    compile: bool | str = False,
    expected_faces: int = 0,
    plugins: Sequence[str] = (),
    verify: bool = True,
    uncertain: bool | float | None = None,
) -> Predictor:
    """Load a trained model to classify faces in photos, without executing anything from its file.

    Args:
        where: a run's folder, a checkpoint file, an export (a folder, or an ``.onnx`` file), or the name of a bundled
            model, e.g. ``"ferplus"``; None: the default bundled model, with a note.
        device: ``"auto"`` (a GPU if there is one), or a torch device, e.g. ``"cpu"`` or ``"cuda:1"``.
        batch_size: faces per batch; None: 256 on a GPU, 64 elsewhere.
        flip: average with the mirrored face; None: as stored with the model.
        shift: average with four copies shifted by this fraction of the side; None: as stored with the model.
        precision: ``"32-true"``, ``"bf16-mixed"`` (about twice as fast on hardware with native bfloat16, half the
            memory for weights; probabilities differ by up to about 0.01), ``"16-mixed"`` (GPUs only), or ``"auto"``:
            bfloat16 on a GPU with native bfloat16, else float32.
        compile: compile the network's repeated blocks for full batches; ``"auto"``: on a GPU, if ``expected_faces`` is
            large enough to make it worthwhile.
        expected_faces: approximate number of faces to be classified; 0: unknown.
        plugins: your own packages that define parts of the model; importing them executes their code.
        verify: compare the weights with the stored checksums.
        uncertain: probability below which a prediction is uncertain. None: the model's threshold, if it has one; True:
            the model's threshold, which is then required; False: no prediction is uncertain.

    Returns:
        The model: ``.predict(photos)``, ``.embed(photos)``, ``.class_names``.

    Raises:
        ValueError: if ``where`` is a network instead of a path, or for a batch size that is not a whole number of at
            least 1.
        UserError: if there is no such model, it is damaged, unsafe or in a newer format, or it does not support an
            option.
    """
    if batch_size is not None:
        check_count("batch_size", batch_size)
    wanted, compiled = check_precision(precision), check_compile(compile)
    check_uncertain(uncertain)
    path = use_default_model() if where is None else model_path(where)
    if path.suffix == ".onnx" or (path / "model.onnx").is_file():
        if wanted not in ("auto", "32-true"):
            raise UserError(
                f"precision={precision}: the precision of an ONNX file is fixed. Load the checkpoint, or "
                "export it with quantize=int8."
            )
        if compiled is True:
            raise UserError(
                "compile=true: ONNX files are run by ONNX Runtime, without compilation. Load the checkpoint."
            )
        classifier = _onnx_classifier(path, device, flip, shift, verify)
        return Predictor(classifier, batch_size=64 if batch_size is None else batch_size, uncertain=uncertain)
    with plugins_loaded(plugins):
        model = read_model(path, device, verify=verify)
    set_precision(model, choose_precision(wanted, model.device))
    views = Views.of_metadata(model.metadata, flip, shift)
    batch_size = usual_batch(model.device) if batch_size is None else batch_size
    compile_model(model, compiled, batch_size, expected_faces * views.count)
    return Predictor(TorchClassifier(model, views), batch_size=batch_size, uncertain=uncertain)


def _onnx_classifier(path: Path, device: str, flip: bool | None, shift: float | None, verify: bool) -> Classifier:
    if device not in ("auto", "cpu"):
        raise UserError(
            f"device={device}: ONNX files run only on the CPU here. Use device=cpu, or load the checkpoint."
        )
    try:
        from mfer_lightning.onnx import OnnxModel
    except ImportError as error:
        raise UserError(f"ONNX files need ONNX Runtime: pip install 'mfer_lightning[onnx]' ({error}).") from error
    model = OnnxModel(path, verify=verify)
    wished = Views.of_metadata(model.metadata, flip, shift)
    if wished != model.views:
        named = f"flip={str(flip).lower()}" if wished.flip != model.views.flip else f"shift={shift:g}"
        raise UserError(f"{named}: the ONNX file was exported with a different value. Load the checkpoint instead.")
    return model
