"""Public files of face networks: every tensor is loaded, and other files are rejected."""

from __future__ import annotations

import pickle
import re
import sys
import types
import warnings

import pytest
import timm
import torch
from nn import face_files as files

from mfer_lightning.errors import UserError
from mfer_lightning.nn import MFER, load_weights
from mfer_lightning.nn.weights.nearest_backbone import nearest_backbone

SMALL = ([1, 1, 2, 1], [4, 8, 8, 16])
SHAPE = {"depths": SMALL[0], "widths": SMALL[1]}
#: Layout -> backbone, its options, the file's tensors, its channel order, name prefixes of the tensors left out.
LAYOUTS = {
    "InsightFace": ("iresnet50", SHAPE, files.insightface(*SMALL), "RGB", ("fc", "features")),
    "face.evoLVe": ("ir50_evolve", SHAPE, files.ir(False, True, *SMALL), "RGB", ("output_layer.3", "output_layer.4")),
    "AdaFace": ("ir50_adaface", SHAPE, files.ir(True, False, *SMALL), "BGR", ("output_layer.3", "output_layer.4")),
    "POSTER V2": (
        "ir50_evolve",
        {"depths": [3, 4, 14], "widths": [4, 4, 8]},
        files.split_ir([3, 4, 14], [4, 4, 8]),
        "RGB",
        ("output_layer",),
    ),
    "MobileFaceNet": ("mobilefacenet", {}, files.mobilefacenet(128), None, ("conv_6_dw", "linear", "bn")),
    "InsightFace MobileFaceNet": (
        *("mobilefacenet", {"scale": 2}, files.insightface_mobilefacenet(), "RGB", ("features",)),
    ),
}

#: Layouts in the quick suite: with original names, and with converted names.
QUICK = ("InsightFace", "POSTER V2")


def network(name: str, options: object, attention: str = "ds_depthwise") -> MFER:
    chosen = attention if attention == "none" else {"name": attention, "stages": [2, 3]}
    return MFER({"name": name, "options": options}, 7, attention=chosen).eval()


@pytest.mark.parametrize(
    ("layout", "prefix"),
    [
        pytest.param(layout, ("", "module.")[i % 2], marks=() if layout in QUICK else pytest.mark.slow, id=layout)
        for i, layout in enumerate(LAYOUTS)
    ],
)
def test_file_of_each_layout_is_loaded_completely(tmp_path, layout, prefix):
    name, options, shapes, colour, left_out = LAYOUTS[layout]
    state = files.random_file(shapes)
    content = {f"{prefix}{key}": tensor for key, tensor in state.items()}
    torch.save({"state_dict": content, "epoch": 3} if prefix else content, tmp_path / "face.pth")
    model = network(name, options)
    report = load_weights(model, tmp_path / "face.pth")
    assert (report.layout, report.colour) == (layout, colour)
    assert {*report.dropped} == {key for key in state if key.startswith(tuple(f"{part}." for part in left_out))}
    made = "backbone" if layout == "POSTER V2" else ""  # the norm after the third stage, which the file lacks
    assert set(report.new_parts) == {"attention", "final norm", "head", made} - {""}
    assert len(report.loaded) == len(state) - len(report.dropped)
    arrived = sorted(float(model.state_dict()[key].double().sum()) for key in report.loaded)
    assert arrived == sorted(float(t.double().sum()) for key, t in state.items() if key not in report.dropped)


@pytest.mark.parametrize(
    "layout",
    ["AdaFace", *(pytest.param(x, marks=pytest.mark.slow) for x in ("InsightFace", "face.evoLVe", "MobileFaceNet"))],
)
def test_full_network_embedding_follows_from_the_backbone_map(tmp_path, layout):
    name, options, shapes, _, _ = LAYOUTS[layout]
    state = files.random_file(shapes)
    torch.save(state, tmp_path / "face.pth")
    model = network(name, options, attention="none")
    load_weights(model, tmp_path / "face.pth")
    whole = timm.create_model(name, num_classes=128 if layout == "MobileFaceNet" else 512, **options).eval()
    whole.load_state_dict(state)
    x = torch.randn(1, 3, 112, 112)
    with torch.inference_mode():
        torch.testing.assert_close(whole.embed(model.backbone.model.forward_features(x)), whole(x))


def test_numbered_mobilefacenet_tensors_are_loaded_in_order(tmp_path):
    shapes = files.insightface_mobilefacenet()
    state = {key: torch.full(shape, float(i)) for i, (key, shape) in enumerate(shapes.items())}
    torch.save(state, tmp_path / "mbf.pth")
    model = network("mobilefacenet", {"scale": 2}, attention="none")
    load_weights(model, tmp_path / "mbf.pth")
    found = [float(t.flatten()[0]) for t in model.backbone.model.state_dict().values()]
    assert found == sorted(found)
    assert found == [float(i) for i in range(len(found))]


def adaface_checkpoint(path, *, callbacks: object = None) -> dict[str, torch.Tensor]:
    state = {f"model.{key}": t for key, t in files.random_file(LAYOUTS["AdaFace"][2]).items()}
    state |= {"head.kernel": torch.zeros(512, 9), "head.t": torch.zeros(1), "head.batch_mean": torch.ones(1)}
    content = {"epoch": 25, "state_dict": state, "callbacks": callbacks or {}, "hyper_parameters": {"arch": "ir_50"}}
    torch.save(content, path)
    return state


@pytest.mark.parametrize("prefix", ["net.", "model.net."])
def test_cvlface_files_of_adaface_load_as_rgb(tmp_path, prefix):
    state = {f"{prefix}{key}": t for key, t in files.random_file(LAYOUTS["AdaFace"][2]).items()}
    torch.save(state, tmp_path / "model.pt")
    model = network("ir50_adaface", SHAPE)
    report = load_weights(model, tmp_path / "model.pt")
    assert (report.layout, report.colour) == ("CVLFace", "RGB")
    assert {key.split("output_layer.")[1][0] for key in report.dropped} == {"3", "4"}
    assert len(report.loaded) + len(report.dropped) == len(state)
    stem = model.backbone.model.state_dict()["input_layer.0.weight"]
    torch.testing.assert_close(stem, state[f"{prefix}input_layer.0.weight"])


def test_adaface_lightning_checkpoint_loads_without_its_loss(tmp_path):
    state = adaface_checkpoint(tmp_path / "adaface.ckpt")
    report = load_weights(network("ir50_adaface", SHAPE), tmp_path / "adaface.ckpt")
    assert (report.layout, report.colour) == ("AdaFace checkpoint", "BGR")
    assert len(report.loaded) + len(report.dropped) == len(state)
    assert {key.split(".")[0] for key in report.dropped} == {"head", "model"}


def test_classes_named_in_old_lightning_checkpoints_are_not_imported(tmp_path, monkeypatch):
    """Lightning before 1.5 stores callback states under their classes."""
    path = tmp_path / "adaface.ckpt"
    for module, refused in (("model_checkpoint", False), ("other", True)):
        name = f"pytorch_lightning.callbacks.{module}"
        named = type("ModelCheckpoint", (), {"__module__": name})
        with monkeypatch.context() as patch:
            for parent in ("pytorch_lightning", "pytorch_lightning.callbacks", name):
                patch.setitem(sys.modules, parent, types.ModuleType(parent))
            patch.setattr(sys.modules[name], "ModelCheckpoint", named, raising=False)
            adaface_checkpoint(path, callbacks={named: {"best_model_score": torch.tensor(0.9)}})
        assert name.encode() in path.read_bytes()
        if refused:
            with pytest.raises(UserError, match=r"it was rejected.*callbacks\.other\.ModelCheckpoint"):
                load_weights(network("ir50_adaface", SHAPE), path)
        else:
            assert load_weights(network("ir50_adaface", SHAPE), path).layout == "AdaFace checkpoint"


def test_shared_ms_celeb_resnet18_loads(tmp_path):
    options = {"channels": [8, 8, 16, 16]}
    source = timm.create_model("resnet18", num_classes=1000, **options)  # torchvision's names
    for prefix in ("", "module."):
        state = {f"{prefix}{key}": t for key, t in source.state_dict().items() if "num_batches_tracked" not in key}
        torch.save({"iter": 1, "state_dict": state}, tmp_path / "resnet18_msceleb.pth")
        report = load_weights(network("resnet18", options), tmp_path / "resnet18_msceleb.pth")
        assert set(report.dropped) == {"fc.weight", "fc.bias"}
        assert report.new_parts == ("attention", "final norm", "head")
        assert report.colour == "RGB"


def test_report_is_one_line_and_the_log_names_every_tensor(tmp_path):
    name, options, shapes, _, _ = LAYOUTS["InsightFace"]
    torch.save(files.random_file(shapes), tmp_path / "face.pth")
    model = network(name, options)
    report = load_weights(model, tmp_path / "face.pth")
    new = len(report.new)
    assert str(report) == (
        f"{len(report.loaded)} tensors from {tmp_path / 'face.pth'} (InsightFace layout); {new} new: attention, "
        "final norm, head; 7 left out: fc.weight, fc.bias, features.weight, features.bias, ..."
    )
    lines = report.by_name().splitlines()
    assert "loaded backbone.model.layer1.0.bn1.weight" in lines
    assert "new head.heads.0.fc1.weight" in lines
    assert "left out fc.weight" in lines
    assert len(lines) == len(shapes) + new


def meta(shapes):
    with torch.device("meta"):
        return {name: torch.empty(shape) for name, shape in shapes.items()}


FULL = {
    "backbone=iresnet50": files.insightface(),
    "backbone=iresnet100": files.insightface((3, 13, 30, 3)),
    "backbone=ir50_evolve": files.ir(False, True),
    "backbone=ir50_evolve 'backbone.options={depths: [3, 4, 14]}'": files.split_ir([3, 4, 14], [64, 128, 256]),
    "backbone=ir50_adaface": files.ir(True, False),
    "backbone=mobilefacenet": files.mobilefacenet(128),
    "backbone=mobilefacenet 'backbone.options={scale: 2}'": files.insightface_mobilefacenet(),
}


@pytest.fixture(scope="module")
def misfit(tmp_path_factory):
    path = tmp_path_factory.mktemp("misfit") / "mobilefacenet.pth"
    torch.save(files.random_file(files.mobilefacenet(128)), path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("words", list(FULL))
def test_matching_backbone_is_identified_for_every_layout(words):
    fit = nearest_backbone(meta(FULL[words]))
    assert fit is not None
    assert (str(fit), fit.share) == (words, 1.0)


def test_weights_of_another_family_are_rejected_with_the_matching_backbone(misfit, monkeypatch):
    monkeypatch.setattr("mfer_lightning.nn.weights.nearest_backbone._TIMM", ())  # only the face networks: faster
    model = network("iresnet50", SHAPE)
    before = {name: t.clone() for name, t in model.state_dict().items()}
    with pytest.raises(
        UserError,
        match=r"layout of the weights is not that of .* "
        r"'iresnet50'.*backbone=mobilefacenet matches 100% of the tensors",
    ):
        load_weights(model, misfit)
    assert all(torch.equal(before[name], t) for name, t in model.state_dict().items())


def test_mismatched_network_with_equal_names_is_rejected_with_the_matching_backbone(misfit, monkeypatch):
    monkeypatch.setattr("mfer_lightning.nn.weights.nearest_backbone._TIMM", ())
    words = (
        r"not those of backbone=mobilefacenet, which matches \d+% of the tensors; "
        r"backbone=mobilefacenet matches 100% of the tensors"
    )
    with pytest.raises(UserError, match=words):
        load_weights(network("mobilefacenet", {"depths": [4, 5, 2]}), misfit)


def test_truncated_file_is_rejected(misfit, tmp_path):
    for share in (0.3, 0.99):
        content = misfit.read_bytes()
        (tmp_path / "cut.pth").write_bytes(content[: int(len(content) * share)])
        with pytest.raises(UserError, match=r"cut\.pth.*damaged"):
            load_weights(network("mobilefacenet", {}), tmp_path / "cut.pth")


def test_imagenet_weights_for_face_networks_are_rejected_without_network_access(monkeypatch):
    monkeypatch.setattr("mfer_lightning.nn.weights.download.reachable", lambda: pytest.fail("the hub was asked"))
    with pytest.raises(UserError, match="timm publishes no weights for backbone 'iresnet50'"):
        load_weights(network("iresnet50", SHAPE), "imagenet")


class Hostile:
    def __reduce__(self):
        return warnings.warn, ("executed",)


@pytest.mark.parametrize("place", ["state_dict", "callbacks"])
def test_malicious_pickle_is_rejected_and_not_executed(tmp_path, place):
    content = {"state_dict": files.random_file(LAYOUTS["AdaFace"][2]), "callbacks": {}}
    content[place] = {**content[place], "x": Hostile()}
    torch.save(content, tmp_path / "face.pth")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserError, match="it was rejected") as refusal:
            load_weights(network("ir50_adaface", SHAPE), tmp_path / "face.pth")
    assert len(re.findall(r"[.:] [A-Z]|\n", str(refusal.value))) == 0
    with pytest.warns(UserWarning, match="executed"):
        pickle.loads(pickle.dumps(Hostile()))  # the pickle is really malicious
