"""Weights: every layout loads completely, everything else is rejected and leaves the network unchanged."""

from __future__ import annotations

import os
import pickle
import random
import re
import time
import zipfile
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

from mfer_lightning.errors import UserError
from mfer_lightning.nn import MFER, load_released_weights, load_weights
from mfer_lightning.nn.weights import download
from mfer_lightning.nn.weights import load as module
from mfer_lightning.nn.weights.download import check_download
from mfer_lightning.nn.weights.read import check_exists

OPTIONS = {"depths": [1, 1, 2, 1], "dims": [8, 16, 24, 32]}
CONVNEXT = {"name": "convnext_tiny", "options": OPTIONS}


def network(backbone: object = CONVNEXT, **options: object) -> MFER:
    return MFER(backbone, 7, attention={"name": "ds", "kernel_size": 3}, **options).eval()


def image(side: int = 64) -> Tensor:
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(5))


def released(model: MFER, heads: bool = True) -> dict[str, Tensor]:
    """Convert the network to the released layout, with an independent list of names."""
    theirs: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        parts = name.split(".")
        if name.startswith("head.heads."):
            if not heads:
                continue
            key = ".".join(["msc", *parts[2:]])
        elif name.startswith("backbone.norm."):
            key = f"norm.{parts[-1]}"
        elif parts[2] == "stem":
            key = ".".join(["downsample_layers.0", *parts[3:]])
        elif ".attention." in name:
            stage = parts[3]
            key = ".".join(["stages", stage, str(OPTIONS["depths"][int(stage)]), *parts[5:]])
        elif ".downsample." in name:
            key = ".".join(["downsample_layers", parts[3], *parts[parts.index("downsample") + 1 :]])
        else:
            block = parts[parts.index("blocks") + 1 :]
            leaf = ".".join(block[1:]).replace("conv_dw", "dwconv").replace("mlp.fc1", "pwconv1")
            key = f"stages.{parts[3]}.{block[0]}.{leaf.replace('mlp.fc2', 'pwconv2')}"
        theirs[key] = tensor.clone()
    return theirs


def meta_backbone(model: MFER) -> dict[str, Tensor]:
    state = released(model, heads=False)
    plain = {k: v for k, v in state.items() if not any(f".{p}." in k for p in ("key", "value", "attn"))}
    extra = {k for k in plain if k.startswith(("stages.2.2.", "stages.3.1."))}
    plain = {k: v for k, v in plain.items() if k not in extra}
    return {**plain, "head.weight": torch.zeros(1000, 32), "head.bias": torch.zeros(1000)}


def shuffled(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return dict(random.Random(0).sample(sorted(state.items()), len(state)))


def assert_same_output(first: MFER, second: MFER) -> None:
    with torch.inference_mode():
        a, b = first(image()), second(image())
    torch.testing.assert_close(a["feature"], b["feature"])
    torch.testing.assert_close(a["logits"], b["logits"])


def test_released_layout_round_trips_in_any_order():
    source, target = network(), network()
    assert load_released_weights(target, shuffled(released(source))) is target
    assert_same_output(source, target)


def test_released_layout_without_heads_keeps_the_heads_of_the_model(tmp_path):
    source, target = network(), network()
    heads = {name: t.clone() for name, t in target.head.state_dict().items()}
    torch.save(released(source, heads=False), tmp_path / "mfer.pth")
    report = load_weights(target, tmp_path / "mfer.pth")
    assert report.layout == "released MFER"
    assert report.new_parts == ("head",)
    assert all(torch.equal(heads[name], t) for name, t in target.head.state_dict().items())
    torch.testing.assert_close(source(image())["feature"], target(image())["feature"])


def test_released_weights_without_heads_warn_or_are_rejected(tmp_path):
    source, target = network(), network()
    before = {name: t.clone() for name, t in target.state_dict().items()}
    with pytest.raises(UserError, match=r"has no heads.*cannot classify"):
        load_released_weights(target, released(source, heads=False), require_heads=True)
    assert all(torch.equal(before[name], t) for name, t in target.state_dict().items())
    with pytest.warns(UserWarning, match="its logits are meaningless"):
        load_released_weights(target, released(source, heads=False))
    torch.testing.assert_close(source(image())["feature"], target(image())["feature"])
    load_released_weights(target, released(source), require_heads=True)
    torch.testing.assert_close(source(image())["logits"], target(image())["logits"])


@pytest.mark.parametrize("wrap", ["plain", "model", "state_dict", "module.", "compiled"])
def test_state_dict_wrappers_are_removed(tmp_path, wrap):
    source, target = network(), network()
    state = released(source)
    if wrap == "module.":
        content = {f"module.{name}": t for name, t in state.items()}
    elif wrap == "compiled":
        content = {f"_orig_mod.{name}": t for name, t in state.items()}
    else:
        content = state if wrap == "plain" else {wrap: state, "epoch": 3}
    torch.save(content, tmp_path / "mfer.pth")
    load_weights(target, tmp_path / "mfer.pth")
    assert_same_output(source, target)


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
def test_meta_layout_fills_the_backbone_and_reports_new_parts(tmp_path, suffix):
    source, target = network(), network()
    path = tmp_path / f"convnext{suffix}"
    state = meta_backbone(source)
    if suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save({"model": state}, path)
    report = load_weights(target, path)
    assert report.layout == "Meta ConvNeXt"
    assert report.new_parts == ("attention", "head")
    assert set(report.dropped) == {"head.weight", "head.bias"}
    assert "new: attention, head" in str(report)
    for name, tensor in source.backbone.state_dict().items():
        arrived = torch.equal(tensor, target.backbone.state_dict()[name])
        assert arrived or source.backbone.timm_name(name) is None, name


def test_meta_linear_layers_and_grn_are_reshaped_for_timm():
    source = network({"name": "convnextv2_atto", "options": OPTIONS})
    target = network({"name": "convnextv2_atto", "options": OPTIONS})
    state = {}
    for name, tensor in meta_backbone(source).items():
        if name.endswith("mlp.grn.weight"):
            state[name.replace("mlp.grn.weight", "grn.gamma")] = tensor.view(1, 1, 1, -1)
        elif name.endswith("mlp.grn.bias"):
            state[name.replace("mlp.grn.bias", "grn.beta")] = tensor.view(1, 1, 1, -1)
        else:
            state[name] = tensor.flatten(1) if "pwconv" in name and tensor.dim() == 4 else tensor
    module._load(target, state, module._layout(target, state), "test")
    plain = [MFER({"name": "convnextv2_atto", "options": OPTIONS}, attention="none").eval() for _ in range(2)]
    for model, origin in zip(plain, (source, target), strict=True):
        theirs = {origin.backbone.timm_name(n): t for n, t in origin.backbone.state_dict().items()}
        theirs |= {f"head.norm.{leaf}": getattr(origin.backbone.norm, leaf).data for leaf in ("weight", "bias")}
        theirs.pop(None)
        module._load(model, theirs, module._layout(model, theirs), "test")
    torch.testing.assert_close(plain[0](image())["feature"], plain[1](image())["feature"])


TIMM = {
    "convnext_tiny": (OPTIONS, ("attention", "head")),
    "resnet18": ({"layers": [1, 1, 1, 1], "channels": [8, 16, 24, 32]}, ("attention", "final norm", "head")),
    "mobilenetv4_conv_small_050": ({}, ("attention", "final norm", "head")),
}


@pytest.mark.parametrize("name", list(TIMM))
def test_timm_layout_matches_the_timm_name_map(tmp_path, name):
    options, new = TIMM[name]
    source = timm.create_model(name, num_classes=11, **options).eval()
    torch.save(source.state_dict(), tmp_path / "timm.pth")
    report = load_weights(network({"name": name, "options": options}), tmp_path / "timm.pth")
    assert (report.layout, report.new_parts) == ("timm", new)
    plain = MFER({"name": name, "options": options}, attention="none").eval()
    load_weights(plain, tmp_path / "timm.pth")
    torch.testing.assert_close(plain.backbone.model.forward_features(image()), source.forward_features(image()))


def test_timm_convnext_head_norm_becomes_the_final_norm():
    source = timm.create_model("convnext_tiny", num_classes=0, **OPTIONS).eval()
    torch.nn.init.normal_(source.head.norm.weight)
    target = MFER(CONVNEXT, attention="none").eval()
    state = source.state_dict()
    module._load(target, state, module._layout(target, state), "test")
    torch.testing.assert_close(target(image())["feature"], source(image()))


def test_small_stem_is_reported_as_new(tmp_path):
    torch.save(timm.create_model("convnext_tiny", **OPTIONS).state_dict(), tmp_path / "timm.pth")
    report = load_weights(network({**CONVNEXT, "stem": "small"}), tmp_path / "timm.pth")
    assert report.new_parts == ("attention", "head", "stem")
    assert "backbone.model.stem.0.weight" in report.new
    assert "backbone.model.stem.0.bias" in report.loaded


@pytest.mark.parametrize("prefix", ["", "network.", "model.network."])
def test_own_checkpoints_load_with_any_prefix(tmp_path, prefix):
    source, target = network(), network()
    state = {prefix + name: t for name, t in source.state_dict().items()}
    if prefix:
        state["objective.centers"] = torch.zeros(7, 32)
    torch.save({"state_dict": state, "hyper_parameters": {"seed": 1}}, tmp_path / "best.ckpt")
    report = load_weights(target, tmp_path / "best.ckpt")
    assert report.new == ()
    assert report.dropped == (("objective.centers",) if prefix else ())
    assert_same_output(source, target)


def test_other_classes_require_new_heads(tmp_path):
    source, target = network(), MFER(CONVNEXT, 8, attention={"name": "ds", "kernel_size": 3}).eval()
    torch.save(source.state_dict(), tmp_path / "own.pt")
    with pytest.raises(UserError, match=r"head\.heads\.0\.fc2\.weight.*\(7, 16\).*head='new'|head='new'"):
        load_weights(target, tmp_path / "own.pt")
    report = load_weights(target, tmp_path / "own.pt", head="new")
    assert report.new_parts == ("head",)
    torch.testing.assert_close(source(image())["feature"], target(image())["feature"])


def test_none_loads_nothing():
    model = network()
    report = load_weights(model, "none")
    assert report.loaded == ()
    assert set(report.new) == set(model.state_dict())


def change(state: dict[str, Tensor], how: str) -> tuple[dict[str, Tensor], str]:
    name = "stages.2.1.dwconv.weight"
    if how == "missing":
        return {k: v for k, v in state.items() if k != name}, f"missing '{name}'"
    if how == "missing head tensor":
        return {k: v for k, v in state.items() if k != "msc.1.fc2.bias"}, "missing 'msc.1.fc2.bias'"
    if how == "extra":
        return {**state, "stages.9.0.gamma": torch.zeros(4)}, r"unexpected 'stages\.9\.0\.gamma'"
    if how == "extra classifier":
        return {**state, "head.weight": torch.zeros(7, 32)}, "unexpected 'head.weight'"
    if how == "transposed":
        return {**state, "stages.0.0.pwconv1.weight": state["stages.0.0.pwconv1.weight"].T.contiguous()}, "pwconv1"
    return {**state, name: state[name][:-1]}, rf"'{name}' is \(23, 1, 7, 7\), the network's is \(24, 1, 7, 7\)"


@pytest.mark.parametrize("how", ["missing", "missing head tensor", "extra", "extra classifier", "shape", "transposed"])
def test_mismatches_are_listed_and_nothing_is_loaded(how):
    state, message = change(released(network()), how)
    target = network()
    before = {name: t.clone() for name, t in target.state_dict().items()}
    with pytest.raises(UserError, match=message):
        load_released_weights(target, state)
    assert all(torch.equal(before[name], t) for name, t in target.state_dict().items())


@pytest.mark.slow
def test_another_architecture_is_rejected(tmp_path):
    torch.save(timm.create_model("resnet18").state_dict(), tmp_path / "resnet.pth")
    with pytest.raises(
        UserError, match="layout of the weights is not that of released MFER, Meta ConvNeXt, timm 'convnext_tiny'"
    ):
        load_weights(network(), tmp_path / "resnet.pth")
    torch.save(released(network()), tmp_path / "mfer.pth")
    with pytest.raises(UserError, match=r"are those of a ConvNeXt, but the backbone is 'resnet18'"):
        load_weights(MFER({"name": "resnet18"}, attention="none"), tmp_path / "mfer.pth")
    with pytest.raises(UserError, match="not in the layout of the released MFER code"):
        load_released_weights(network(), tmp_path / "resnet.pth")


class Trap:
    """A pickle that creates a folder when it is executed."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_malicious_file_is_rejected_and_not_executed(tmp_path, how):
    trace = tmp_path / "executed"
    content = {"state_dict": Trap(trace)}
    path = tmp_path / "hostile.pth"
    if how == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    with pytest.raises(UserError, match="was rejected"):
        load_weights(network(), path)
    assert not trace.exists()
    torch.load(path, weights_only=False) if how == "torch" else pickle.loads(path.read_bytes())
    assert trace.exists()  # the pickle is really malicious


class Big:
    """A pickle that allocates memory through a constructor that torch allows."""

    def __reduce__(self) -> tuple[object, tuple[int]]:
        return bytearray, (4_000_000_000,)


@pytest.mark.parametrize("today", [True, False], ids=["zip", "before 1.6"])
def test_file_cannot_allocate_more_memory_than_its_size(tmp_path, monkeypatch, today):
    read = torch.load
    monkeypatch.setattr("mfer_lightning.nn.weights.read.torch.load", lambda *a, **k: pytest.fail("it was loaded"))
    torch.save({"w": torch.ones(3), "x": Big()}, tmp_path / "big.pth", _use_new_zipfile_serialization=today)
    with pytest.raises(UserError, match=r"it was rejected.*bytearray"):
        load_weights(network(), tmp_path / "big.pth")
    monkeypatch.setattr("mfer_lightning.nn.weights.read.torch.load", read)
    repeated = {"w": torch.ones(1).expand(10**11)}
    torch.save(repeated, tmp_path / "repeated.pth", _use_new_zipfile_serialization=today)
    with pytest.raises(UserError, match="claims to be larger"):
        load_weights(network(), tmp_path / "repeated.pth")


def test_compressed_members_are_rejected(tmp_path):
    torch.save({"w": torch.zeros(10**6)}, tmp_path / "honest.pth")
    with zipfile.ZipFile(tmp_path / "honest.pth") as old, zipfile.ZipFile(tmp_path / "x.pth", "w") as new:
        for member in old.infolist():
            new.writestr(member.filename, old.read(member), zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match="its parts are compressed"):
        load_weights(network(), tmp_path / "x.pth")


@pytest.mark.parametrize("today", [True, False], ids=["zip", "before 1.6"])
def test_complete_checkpoints_of_other_projects_load_in_either_format(tmp_path, today):
    donor = network()
    content = {
        "state_dict": torch.nn.ParameterDict({}).state_dict() | released(donor),
        "epoch": 3,
        "names": {"a", "b"},
        "optimizer": torch.optim.SGD(donor.parameters(), lr=0.1, momentum=0.9).state_dict(),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "bytes": b"x",
    }
    torch.save(content, tmp_path / "x.pth", _use_new_zipfile_serialization=today)
    other = network()
    load_weights(other, tmp_path / "x.pth")
    assert torch.equal(other.head.heads[0].fc2.weight, donor.head.heads[0].fc2.weight)


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors", "a.pt"])
@pytest.mark.parametrize("content", [b"", b"not weights at all", os.urandom(4096)], ids=["empty", "text", "noise"])
def test_damaged_file_raises_one_clear_error(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=name):
        load_weights(network(), tmp_path / name)


def test_truncated_file_raises_one_clear_error(tmp_path):
    torch.save(released(network()), tmp_path / "whole.pth")
    whole = (tmp_path / "whole.pth").read_bytes()
    (tmp_path / "half.pth").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"half\.pth.*truncated"):
        load_weights(network(), tmp_path / "half.pth")


def test_non_finite_weights_are_rejected_and_nothing_is_loaded(tmp_path):
    model, state = network(), released(network())
    name = next(iter(state))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    for wrong, message in (
        (torch.full_like(state[name], float("nan")), "contains NaN or infinite values"),
        (torch.full_like(state[name], float("inf")), "contains NaN or infinite values"),
        (state[name].to(torch.int8), "has dtype int8, but floating-point weights are needed"),
    ):
        torch.save({**state, name: wrong}, tmp_path / "x.pth")
        with pytest.raises(UserError, match=message):
            load_weights(model, tmp_path / "x.pth")
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_files_without_weights_are_rejected(tmp_path):
    for content, message in (([1, 2], "found list"), ({"a": 1}, "not tensors: a"), ({}, "contains no weights")):
        torch.save(content, tmp_path / "x.pt")
        with pytest.raises(UserError, match=message):
            load_weights(network(), tmp_path / "x.pt")


def test_missing_file_error_lists_the_valid_values():
    with pytest.raises(UserError, match=r"weights=imagnet: there is no such file.*did you mean 'imagenet'"):
        load_weights(network(), "imagnet")
    with pytest.raises(
        UserError,
        match=r"weights=x\.pth: there is no such file\. The option must be none, "
        r".*\.ckpt file\.$",
    ):
        load_weights(network(), "x.pth")
    with pytest.raises(UserError, match=r"did you mean 'ferplus_tiny'"):
        check_exists(Path("ferplus_tny"), ["ferplus_tiny"])


def test_folder_is_rejected(tmp_path):
    with pytest.raises(UserError, match=r"is a folder\. Use a file in it"):
        load_weights(network(), tmp_path)


@pytest.mark.parametrize("name", ["x.pth", "x.safetensors"])
@pytest.mark.parametrize(
    "text", ["<!DOCTYPE html>\n<title>403</title>", "version https://git-lfs.github.com/spec/v1\noid sha256:0"]
)
def test_html_page_or_lfs_pointer_is_named_as_such(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=re.escape(f"starts with {text.splitlines()[0]!r} instead of weights. A web")):
        load_weights(network(), tmp_path / name)


def test_unreachable_hub_is_an_error_instead_of_random_weights(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    model = MFER("convnext_atto", attention="none")
    before = model.backbone.model.stem[0].weight.clone()
    with pytest.raises(UserError, match=r"'convnext_atto' could not be loaded.*silently start from scratch.*weights="):
        load_weights(model, "imagenet")
    assert torch.equal(model.backbone.model.stem[0].weight, before)


def test_downloaded_weights_are_loaded(monkeypatch):
    donor = timm.create_model("convnext_tiny", num_classes=0, **OPTIONS)
    asked = {}

    def create(config, *, in_chans, pretrained):
        asked.update(name=config["name"], pretrained=pretrained)
        return donor

    monkeypatch.setattr(download, "create_timm_model", create)
    target = MFER(CONVNEXT, attention="none").eval()
    report = load_weights(target, "imagenet")
    assert asked == {"name": "convnext_tiny", "pretrained": True}
    assert report.source.startswith("imagenet (convnext_tiny.")
    assert report.new_parts == ("head",)
    torch.testing.assert_close(target(image())["feature"], donor.eval()(image()))


def test_head_must_be_load_or_new():
    with pytest.raises(ValueError, match=r"`head` to be one of \('load', 'new'\), but got 'old'"):
        load_weights(network(), "none", head="old")


def test_offline_start_uses_the_cache_without_retries(monkeypatch, tmp_path):
    """By default huggingface_hub retries for over a minute."""
    from huggingface_hub import constants

    from mfer_lightning.nn.weights import hub

    class Dead:
        def head(self, *_, **__):
            raise ConnectionError("no network")

    monkeypatch.setattr(hub, "get_session", Dead)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    model = MFER({"name": "resnet18"}, 7, attention="none")
    began = time.monotonic()
    for refused in (lambda: check_download(model), lambda: load_weights(model, "imagenet")):
        with pytest.raises(UserError, match=r"resnet18' could not be loaded.*weights=path/to/file"):
            refused()
    assert time.monotonic() - began < 10
    assert not constants.HF_HUB_OFFLINE
