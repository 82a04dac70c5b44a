"""The ONNX file and its predictor reproduce the checkpoint for all batch sizes, image sizes and input types."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from inference.conftest import NAMES, SIZE, Forms, describe
from PIL import Image

from mfer_lightning.errors import UserError
from mfer_lightning.inference.export.onnx_file import annotate, save_onnx
from mfer_lightning.inference.export.onnx_graph import FaceGraph, write_graph
from mfer_lightning.inference.export.parity import random_faces
from mfer_lightning.inference.export.quantise import quantise
from mfer_lightning.inference.model import FERModel, build_model
from mfer_lightning.nn import MFER, Preprocess
from mfer_lightning.onnx import Description, FacePredictions, OnnxModel
from mfer_lightning.views import ONE_VIEW, Views


@pytest.fixture(scope="module")
def model(forms: Forms) -> OnnxModel:
    return OnnxModel(forms.onnx)


def torch_probabilities(model: FERModel, faces: np.ndarray) -> np.ndarray:
    batch = torch.from_numpy(np.ascontiguousarray(faces.transpose(0, 3, 1, 2)))
    return model(batch)["logits"].double().softmax(1).numpy()


def test_checkpoint_safetensors_and_onnx_give_the_same_probabilities(
    forms: Forms, model: OnnxModel, faces: np.ndarray
) -> None:
    expected = torch_probabilities(forms.model, faces)
    assert np.ptp(expected[:, 0]) > 0.05  # the outputs differ between faces, so agreement is meaningful
    np.testing.assert_allclose(
        torch_probabilities(FERModel.from_pretrained(forms.safetensors), faces), expected, atol=1e-6
    )
    found = model.predict(faces)
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-4)
    np.testing.assert_array_equal(found.pred, expected.argmax(axis=1))
    feature = forms.model(torch.from_numpy(faces.transpose(0, 3, 1, 2).copy()))["feature"].numpy()
    np.testing.assert_allclose(model.embed(faces), feature, atol=1e-4)


def test_batches_of_1_and_64_agree(forms: Forms, model: OnnxModel, faces: np.ndarray) -> None:
    many = model.predict(faces[:64], batch_size=64).probabilities
    np.testing.assert_allclose(model.predict(faces[:64], batch_size=1).probabilities, many, atol=1e-5)
    alone = np.concatenate([torch_probabilities(forms.model, faces[i : i + 1]) for i in range(64)])
    np.testing.assert_allclose(torch_probabilities(forms.model, faces[:64]), alone, atol=1e-5)


@pytest.mark.parametrize("shape", [(17, 17), (64, 64), (65, 64), (112, 112), (230, 90)])
def test_faces_of_any_size_are_resized_like_the_checkpoint(
    shape: tuple[int, int], forms: Forms, model: OnnxModel
) -> None:
    faces = np.random.default_rng(0).integers(0, 256, (3, *shape, 3), dtype=np.uint8)
    np.testing.assert_allclose(model.predict(faces).probabilities, torch_probabilities(forms.model, faces), atol=1e-4)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("colour", ["RGB", "BGR", "grey"])
@pytest.mark.parametrize("shape", [(20, 30), (32, 32), (50, 70)])
def test_graph_preprocesses_faces_like_preprocess(interpolation: str, colour: str, shape: tuple[int, int]) -> None:
    said = {"grey": True} if colour == "grey" else {"colour": colour}
    preprocess = Preprocess(size=32, interpolation=interpolation, mean="imagenet", std="imagenet", **said)
    network = MFER({"name": "resnet18"}, 2, attention="none", head="linear").eval()
    seen: list[torch.Tensor] = []
    network.forward = lambda x: seen.append(x) or {"logits": x.mean((2, 3)), "feature": x.mean((2, 3))}  # type: ignore
    faces = torch.randint(0, 256, (2, 3, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    FaceGraph(FERModel(network, preprocess, ("a", "b")))(faces)
    torch.testing.assert_close(seen[0], preprocess(faces), atol=1e-4, rtol=1e-4)


def test_graph_is_corrected_in_memory_and_written_once(
    forms: Forms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resize = onnx.helper.make_node("Resize", ["x"], ["y"], antialias=1, cubic_coeff_a=-0.75)
    proto = onnx.helper.make_model(onnx.helper.make_graph([resize], "graph", [], []))
    given: list[dict[str, Any]] = []
    program = SimpleNamespace(model_proto=proto)
    written = []
    save = onnx.save
    with monkeypatch.context() as patch:
        patch.setattr(torch.onnx, "export", lambda *_, **options: given.append(options) or program)
        patch.setattr(onnx, "save", lambda proto, path: (written.append(path), save(proto, path)))
        patch.setattr(onnx, "load", lambda *_: pytest.fail("the file was read again"))
        write_graph(forms.model, tmp_path / "model.onnx", 64)
    assert written == [str(tmp_path / "model.onnx")]
    assert "f" not in given[0]  # torch does not write a file
    (node,) = onnx.load(str(tmp_path / "model.onnx")).graph.node
    found = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    assert found == {"antialias": 1, "cubic_coeff_a": -0.5, "exclude_outside": 1}


@pytest.mark.parametrize("views", [Views(flip=True), Views(shift=0.05), Views(flip=True, shift=0.05)])
def test_views_are_averaged_like_the_checkpoint(
    views: Views, forms: Forms, model: OnnxModel, faces: np.ndarray
) -> None:
    batch = torch.from_numpy(np.ascontiguousarray(faces[:5].transpose(0, 3, 1, 2)))
    expected = forms.model(batch, views=views)
    found = model.predict(faces[:5], flip=views.flip, shift=views.shift)
    np.testing.assert_allclose(found.logits, expected["logits"].numpy(), atol=1e-4)
    np.testing.assert_allclose(found.probabilities, expected["logits"].softmax(1).numpy(), atol=1e-5)
    assert np.abs(found.logits - model.predict(faces[:5], flip=False, shift=0.0).logits).max() > 1e-3


def test_files_pillow_images_and_arrays_give_the_same_result(
    model: OnnxModel, faces: np.ndarray, tmp_path: Path
) -> None:
    expected = model.predict(faces[:2]).probabilities
    for i in range(2):
        Image.fromarray(faces[i]).save(tmp_path / f"{i}.png")
    paths = [tmp_path / "0.png", str(tmp_path / "1.png")]
    turned = Image.fromarray(np.rot90(faces[0]).copy())  # as stored by a camera held upright
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.png", exif=exif)
    for source in (
        paths,
        [Image.fromarray(f) for f in faces[:2]],
        list(faces[:2]),
        faces[:2].transpose(0, 3, 1, 2),
        [paths[0], faces[1]],
        [tmp_path / "turned.png", faces[1]],
    ):
        np.testing.assert_allclose(model.predict(source).probabilities, expected, atol=1e-6)
    grey = model.predict(faces[0, :, :, 0])
    np.testing.assert_allclose(grey.probabilities, model.predict(faces[0, :, :, :1].repeat(3, axis=2)).probabilities)


def test_faces_of_several_sizes_keep_their_order(model: OnnxModel, faces: np.ndarray) -> None:
    mixed = [faces[0], faces[1, :40, :40], faces[2], faces[3, :40, :40]]
    each = np.concatenate([model.predict(f).probabilities for f in mixed])
    np.testing.assert_allclose(model.predict(mixed).probabilities, each, atol=1e-5)


def test_result_has_a_readable_repr(model: OnnxModel, faces: np.ndarray) -> None:
    found = model.predict(faces[:3])
    assert isinstance(found, FacePredictions)
    assert len(found) == 3
    assert set(found.labels) <= set(NAMES)
    assert str(found).splitlines()[0].startswith(f"0: {found.labels[0]} ")
    assert "fear" in repr(model)
    many = FacePredictions(
        NAMES, *(np.repeat(a, 10, axis=0) for a in (found.probabilities, found.logits, found.feature))
    )
    assert str(many).endswith("... and 10 more")


def test_file_describes_the_model(forms: Forms, model: OnnxModel) -> None:
    import onnx

    said = model.description
    assert said.class_names == NAMES
    assert (said.size, said.resizes, said.quantized, said.views) == (SIZE, True, "none", ONE_VIEW)
    assert said.preprocess == forms.model.preprocess.to_config()
    assert said.more["protocol"] == "facs@native"
    proto = onnx.load(str(forms.onnx / "model.onnx"))
    assert json.loads({p.key: p.value for p in proto.metadata_props}["class_names"]) == list(NAMES)
    assert [(o.domain, o.version) for o in proto.opset_import] == [("", 18)]
    # Neither source lines nor folders of the machine that exported it.
    assert str(Path.cwd()).encode() not in proto.SerializeToString()
    assert b".py" not in proto.SerializeToString()


def test_predictor_has_the_interface_of_a_classifier(model: OnnxModel, faces: np.ndarray) -> None:
    probabilities, feature = model.classify(faces[:4])
    np.testing.assert_allclose(probabilities, model.predict(faces[:4]).probabilities, atol=1e-6)
    assert feature.shape == (4, 32)
    assert len(model.identity()) == 64
    assert model.metadata["preprocess"]["size"] == SIZE


@pytest.mark.parametrize(
    ("faces", "error", "words"),
    [
        (np.zeros((4, 48, 48, 3), np.float32), ValueError, "to be uint8"),
        (np.zeros((4, 48, 48, 1), np.uint8), ValueError, "of shape"),
        (np.zeros((1, 5000, 4, 3), np.uint8), UserError, "sides of 1 to 4096"),
        (np.zeros((1, 0, 4, 3), np.uint8), UserError, "sides of 1 to 4096"),
        ([], ValueError, "at least one face"),
        (7, ValueError, "paths, Pillow images or uint8 arrays"),
        ("nothing.png", UserError, "There is no image"),
    ],
)
def test_invalid_faces_are_rejected(faces: object, error: type[Exception], words: str, model: OnnxModel) -> None:
    with pytest.raises(error, match=words):
        model.predict(faces)


def test_damaged_images_are_rejected(model: OnnxModel, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(UserError, match="cannot be read as an image"):
        model.predict(tmp_path / "text.jpg")
    Image.fromarray(np.zeros((40, 40), np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(UserError, match="more than 8 bits"):
        model.predict(tmp_path / "deep.png")
    Image.new("RGB", (48, 48)).save(tmp_path / "program.eps")  # which Pillow would pass to Ghostscript
    with pytest.raises(UserError, match="cannot be read as an image"):
        model.predict(tmp_path / "program.eps")
    Image.new("1", (5000, 10)).save(tmp_path / "wide.png")
    with pytest.raises(UserError, match="5000 x 10 pixels"):
        model.predict(tmp_path / "wide.png")


def test_predictor_does_not_import_torch(forms: Forms, tmp_path: Path) -> None:
    Image.new("RGB", (48, 48), "orange").save(tmp_path / "face.png")
    code = (
        "import sys\n"
        "from mfer_lightning.onnx import OnnxModel\n"
        "found = OnnxModel(sys.argv[1]).predict([sys.argv[2]])\n"
        "heavy = {'torch', 'torchvision', 'timm', 'lightning', 'hydra', 'omegaconf', 'scipy', 'cv2', 'onnx'}\n"
        "print(found.labels[0], sorted(heavy & {m.partition('.')[0] for m in sys.modules}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(forms.onnx), str(tmp_path / "face.png")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    label, _, loaded = done.stdout.strip().partition(" ")
    assert label in NAMES
    assert loaded == "[]"


def test_missing_or_empty_file_raises_one_clear_error(tmp_path: Path) -> None:
    for where in (tmp_path, tmp_path / "x.onnx"):
        with pytest.raises(UserError, match="There is no ONNX file"):
            OnnxModel(where)
    (tmp_path / "empty.onnx").touch()
    with pytest.raises(UserError, match="its size is 0 bytes, but must be 1 to 2,147,483,647"):
        OnnxModel(tmp_path / "empty.onnx")


def test_description_round_trips_through_metadata() -> None:
    said = Description(
        ("a", "b"), "face-evolve-112@1", 112, True, Views(True, 0.02), {"size": 112}, "int8", {"protocol": "x@y"}
    )
    assert Description.from_notes(said.to_notes(), "x") == said


@pytest.mark.parametrize(
    ("shift", "legal"), [(0, True), (0.02, True), (9.0, False), (float("nan"), False), ("x", False)]
)
def test_invalid_shift_in_metadata_names_the_file(shift: Any, legal: bool) -> None:
    said = Description(("a", "b"), None, 112, True, ONE_VIEW, {"size": 112})
    ((key, whole), *_) = said.to_notes().items()
    notes = {key: json.dumps({**json.loads(whole), "shift": shift})}
    if legal:
        assert Description.from_notes(notes, "my.onnx").views == Views(shift=shift)
    else:
        with pytest.raises(UserError, match=r"my\.onnx: its metadata does not describe a model .*number within"):
            Description.from_notes(notes, "my.onnx")


def test_quantised_weights_are_smaller_with_similar_predictions(
    forms: Forms, faces: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes((forms.onnx / "model.onnx").read_bytes())
    quantise(path)
    annotate(path, forms.model, SIZE, "int8")
    small = OnnxModel(path)
    expected = torch_probabilities(forms.model, faces)
    difference = np.abs(small.predict(faces).probabilities - expected)
    assert 0 < difference.max() < 0.1
    assert difference.mean() < 0.01
    import onnx

    graph = onnx.load(str(path)).graph
    assert {"MatMulInteger", "ConvInteger", "DynamicQuantizeLinear"} <= {n.op_type for n in graph.node}
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    products = [stored[n.input[1]] for n in graph.node if n.op_type == "MatMulInteger"]
    # 7 bits: sums of two 8-bit products overflow on processors without VNNI
    assert {w.dtype for w in products} == {np.dtype(np.int8)}
    assert max(int(np.abs(w.astype(int)).max()) for w in products) == 64


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "attention", "head", "size"),
    [
        ({"name": "resnet18", "stem": "small"}, "ds", "multiscale", 48),
        ({"name": "resnet18"}, "ds_depthwise", "linear", 64),
        (
            {
                "name": "swin_tiny_patch4_window7_224",
                "options": {
                    "depths": [1, 2, 1, 1],
                    "embed_dim": 16,
                    "num_heads": [1, 1, 2, 2],
                    "img_size": 64,
                    "window_size": 4,
                },
            },
            "ds",
            "multiscale",
            64,
        ),
        ({"name": "convnext_atto"}, "dynamic", "linear", 64),
        ({"name": "convnext_atto"}, "static", "multiscale", 32),
        ({"name": "convnext_atto"}, "conv", "multiscale", None),
        ({"name": "mobilenetv3_small_050"}, "ds_depthwise", "multiscale", 64),
    ],
    ids=["resnet", "resnet-depthwise-linear", "swin", "dynamic", "static", "conv-own-size", "mobilenet"],
)
def test_every_kind_of_network_can_be_exported(
    backbone: dict, attention: str, head: str, size: int | None, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    network = MFER(backbone, 3, attention=attention, head=head)
    said = describe(network, preprocess=Preprocess(size=size, mean="half", std="half").to_config())
    model = build_model(said, network.state_dict(), tmp_path / "x")
    side = size or 40
    found = save_onnx(model, tmp_path / "onnx", [random_faces(side, size is not None)], size=side)
    assert found[0].largest_difference < 1e-4
    exported = OnnxModel(tmp_path / "onnx")
    assert exported.description.resizes is (size is not None)
    if size is None:
        with pytest.raises(ValueError, match="40 x 40 pixels"):
            exported.predict(np.zeros((1, 41, 40, 3), np.uint8))
