"""LoRA: which weights are trained, and checkpoints that load without the package."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from mfer_lightning.errors import UserError
from mfer_lightning.inference.model import read_model
from mfer_lightning.losses import CrossEntropy, Objective
from mfer_lightning.module import FERModule
from mfer_lightning.nn import MFER, Preprocess, load_weights
from mfer_lightning.nn.adapter import SCALE, add_adapter, merge_adapter
from mfer_lightning.nn.regions import compile_blocks
from mfer_lightning.optim import optimizer_for

VIT = {"name": "vit_tiny_patch16_224", "options": {"depth": 4, "embed_dim": 24, "num_heads": 2}}
IMAGE = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def module_of(network: MFER) -> FERModule:
    names = ("sadness", "happiness", "anger")
    return FERModule(network, Objective(CrossEntropy()), Preprocess(size=32), class_names=names)


def vit() -> MFER:
    torch.manual_seed(0)
    return MFER(VIT, 3, attention={"name": "ds_depthwise", "kernel_size": 3}, image_size=32)


def adapted(**options: object) -> MFER:
    pytest.importorskip("peft", reason="pip install 'mfer_lightning[lora]'")
    network = vit()
    add_adapter(network, {"name": "lora", "rank": 2, **options})
    return network


def step(module: FERModule) -> None:
    optimizer = optimizer_for(module.network, module.objective, {"name": "adamw", "lr": 0.1})
    module.objective(module.train()(IMAGE), torch.eye(3)[[0, 1]])["total"].backward()
    optimizer.step()
    module.zero_grad()
    module.eval()


def test_only_adapter_attention_norm_and_heads_are_trained() -> None:
    module = module_of(adapted(dropout=0.1))
    before = {name: value.clone() for name, value in module.network.state_dict().items()}
    step(module)
    step(module)  # the first step moves B, which starts at zero, and the second A
    moved = {n for n, v in module.network.state_dict().items() if not torch.equal(v, before[n])}
    may = {n for n in before if ".lora_" in n or ".attention." in n or n.startswith(("head.", "backbone.norm."))}
    assert moved == may


def test_adapter_is_merged_when_a_checkpoint_is_loaded(tmp_path: Path) -> None:
    module = module_of(adapted(targets=["qkv", "fc1"]))
    step(module)
    checkpoint: dict = {"state_dict": module.state_dict(), "epoch": 0}
    module.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, tmp_path / "net.ckpt")
    model = read_model(tmp_path / "net.ckpt", "cpu")
    assert not any(".lora_" in name or name == SCALE for name in model.network.state_dict())
    with torch.inference_mode():
        torch.testing.assert_close(model(IMAGE)["logits"], module(IMAGE)["logits"], rtol=1e-4, atol=1e-5)
    again = FERModule.load_from_checkpoint(tmp_path / "net.ckpt", objective=Objective(CrossEntropy()))
    network = vit()
    assert load_weights(network, tmp_path / "net.ckpt").new == ()
    for other in (again.network, network):
        assert torch.equal(other.head.heads[0].fc1.weight, module.network.head.heads[0].fc1.weight)
        for name, value in model.network.state_dict().items():
            torch.testing.assert_close(other.state_dict()[name], value)


def test_only_the_named_layers_are_adapted() -> None:
    network = adapted(targets=["qkv"])
    layers = {name.partition(".lora_A")[0] for name, _ in network.named_parameters() if ".lora_A" in name}
    assert {name.rpartition(".")[2] for name in layers} == {"qkv"}
    assert len(layers) == 4
    with pytest.raises(
        UserError, match=r"no linear layer named 'query'\. Use adapter\.targets=\[fc1,fc2,proj,qkv\], or only some of"
    ):
        add_adapter(vit(), {"name": "lora", "targets": ["qkv", "query"]})


def test_adapted_blocks_compile_with_the_same_gradients() -> None:
    torch._dynamo.reset()
    plain = adapted().train()
    for name, parameter in plain.named_parameters():
        if ".lora_B" in name:  # zero at first
            torch.nn.init.normal_(parameter, std=0.1)
    compiled = copy.deepcopy(plain)
    counter = CompileCounterWithBackend("eager")
    blocks = compile_blocks(compiled, backend=counter)
    assert [type(block).__name__ for block in blocks] == [*["Block"] * 4, *["DSAttention"] * 2]
    for network in (plain, compiled):
        network(torch.ones(2, 3, 32, 32))["logits"].square().sum().backward()
    assert counter.frame_count <= 2 + 1  # two kinds of block, and no graph break at an adapter
    for (name, one), (_, other) in zip(plain.named_parameters(), compiled.named_parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, msg=name)
    assert list(compiled.state_dict()) == list(plain.state_dict())


def test_layers_whose_weights_are_read_directly_are_not_adapted() -> None:
    pytest.importorskip("peft", reason="pip install 'mfer_lightning[lora]'")
    beit = {"name": "beit_base_patch16_224", "options": VIT["options"]}
    layers = add_adapter(MFER(beit, 3, attention="none", image_size=32), "lora")
    assert {name.rpartition(".")[2] for name in layers} == {"proj", "fc1", "fc2"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 0}, "`rank` to be an integer >= 1"),
        ({"rank": 2.5}, "`rank` to be an integer >= 1, but got 2.5"),
        ({"rank": 25}, "adapter.rank=25: the widest layer of 'vit_tiny_patch16_224' has rank 24"),
        ({"targets": 7}, "adapter.targets=7: the value must be a list of the last parts"),
        ({"targets": []}, r"adapter.targets=\[\]: the value must be a list of the last parts"),
        ({"dropout": 1.0}, "`dropout`"),
        ({"r": 8}, "no option 'r'"),
    ],
)
def test_invalid_options_raise_one_clear_error(options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        add_adapter(vit(), {"name": "lora", **options})


def test_second_adapter_is_rejected() -> None:
    network = adapted()
    with pytest.raises(UserError, match="already has an adapter"):
        add_adapter(network, "lora")


def test_backbone_without_linear_layers_is_rejected() -> None:
    with pytest.raises(UserError, match="has no linear layer that it calls"):
        add_adapter(MFER("resnet18", 3, attention="none"), "lora")


def test_none_adds_no_adapter_and_damaged_ones_are_rejected() -> None:
    network = vit()
    assert add_adapter(network, "none") == ()
    assert merge_adapter(network.state_dict()).keys() == network.state_dict().keys()
    layer = {"a.base_layer.weight": torch.zeros(4, 3), "a.lora_A.default.weight": torch.ones(2, 3)}
    for up in (torch.ones(400000, 2), torch.ones(4, 5)):
        with pytest.raises(UserError, match="does not fit its layer a"):
            merge_adapter({SCALE: torch.tensor(2.0), **layer, "a.lora_B.default.weight": up})
    for scale in (torch.ones(2), torch.ones(0)):
        with pytest.raises(
            UserError, match=rf"are damaged: {SCALE} must be a single number, but has the shape \({len(scale)},\)"
        ):
            merge_adapter({SCALE: scale, **layer, "a.lora_B.default.weight": torch.ones(4, 2)})
    merged = merge_adapter({SCALE: torch.tensor(2.0), **layer, "a.lora_B.default.weight": torch.ones(4, 2)})
    assert torch.equal(merged["a.weight"], torch.full((4, 3), 4.0))
