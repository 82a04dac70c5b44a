"""The registered studies: their commands compose, and their methods are the registered ones."""

from __future__ import annotations

import os
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest
import torch
from config.test_compose import composed

from mfer_lightning.config.location import choices
from mfer_lightning.nn import MFER
from mfer_lightning.nn.attention import ConvControl, DSAttention
from mfer_lightning.reporting.study.axes import find_axes, flatten
from mfer_lightning.reporting.study.contrast_plan import read_plan, told
from mfer_lightning.training.checks.trial_build import build_on_trial

ROOT = Path(__file__).parents[2]
ABLATION = "ferplus_ablation"
METHODS = [name for name in choices("experiment") if name.startswith(f"{ABLATION}/")]
REGISTERED = (ROOT / "docs" / "experiments" / f"{ABLATION}.md").read_text(encoding="utf-8")


def started(script: str, folder: Path, *arguments: str) -> list[list[str]]:
    """Start a study from another folder with a program that only records its arguments; return a list per start."""
    folder = folder / "another folder"
    folder.mkdir()
    program, log = folder / "mfer that notes", folder / "words"
    program.write_text(f"#!/bin/bash\nprintf '%s\\n' \"$@\" '' >> '{log}'\n")
    program.chmod(0o755)
    subprocess.run(  # our own script
        [ROOT / "studies" / script, *arguments], cwd=folder, env=os.environ | {"MFER": str(program)}, check=True
    )
    return [block.splitlines() for block in log.read_text().strip().split("\n\n")]


@cache
def method(name: str) -> dict:
    return composed(f"experiment={name}")


def network(name: str) -> MFER:
    config = method(name)
    backbone = {key: value for key, value in config["backbone"].items() if value is not None}
    with torch.device("meta"):
        return MFER(backbone, 8, attention=config["attention"], head=config["head"])


def size(name: str) -> int:
    return sum(parameter.numel() for parameter in network(f"{ABLATION}/{name}").parameters())


class TestAblation:
    def test_script_starts_exactly_the_registered_methods_seed_by_seed(self, tmp_path: Path) -> None:
        (words,) = started(f"{ABLATION}/run.sh", tmp_path, "paths.data=/data sets")
        (experiments,) = [word.partition("=")[2] for word in words if word.startswith("experiment=")]
        assert sorted(experiments.split(",")) == METHODS
        assert len(METHODS) == 12
        # the first word varies slowest
        assert words.index("seed=0,1,2,3,4,5,6") < words.index(f"experiment={experiments}")
        assert words[-1] == "paths.data=/data sets"

    @pytest.mark.parametrize("name", METHODS)
    def test_method_builds_and_differs_only_in_attention_head_and_loss(self, name: str) -> None:
        build_on_trial(method(name) | {"trainer": {**method(name)["trainer"], "accelerator": "cpu"}})
        plain = method(f"{ABLATION}/plain")
        assert {key for key, value in method(name).items() if value != plain[key]} <= {"attention", "head", "loss"}

    @pytest.mark.parametrize("loss", ["lgm", "dsf"])
    def test_plain_backbone_uses_the_loss_tuned_on_the_full_model(self, loss: str) -> None:
        assert method(f"{ABLATION}/plain_{loss}")["loss"] == method(f"{ABLATION}/full_{loss}")["loss"]

    @pytest.mark.parametrize("name", METHODS)
    def test_attention_receives_maps_of_12_and_6_pixels(self, name: str) -> None:
        net, seen = network(name).eval(), []
        for module in net.modules():
            if isinstance(module, (DSAttention, ConvControl)):
                module.register_forward_hook(lambda _m, inputs, _o: seen.append(tuple(inputs[0].shape[2:])))
        net(torch.zeros(1, 3, 48, 48, device="meta"))
        assert seen == ([] if method(name)["attention"]["name"] == "none" else [(12, 12), (6, 6)])

    def test_control_has_as_many_parameters_as_attention(self) -> None:
        assert size("conv") == size("ds") > size("plain")

    def test_contrasts_match_the_registration(self) -> None:
        """The table and the text of the registration match the machine-readable file."""
        plan = read_plan(ROOT / "studies" / ABLATION / "contrasts.yaml")
        assert (plan.metric, plan.protocol) == ("accuracy", f"ferplus@{method(METHODS[0])['dataset']['protocol']}")
        axes = {"attention.name": "attention", "head.name": "head", "loss.name": "loss"}
        flat = {name.partition("/")[2]: flatten(method(name)) for name in METHODS}
        assert {axis.key for axis in find_axes(list(flat.values()))} == set(axes)
        names = {told({title: values[key] for key, title in axes.items()}): name for name, values in flat.items()}
        pairs = {c.name: (names[told(c.method)], names[told(c.against)]) for c in plan.contrasts}
        rows = re.findall(r"^\| ([^|]+) \| `(\w+)` - `(\w+)` \| (\w+) \|$", REGISTERED, re.MULTILINE)
        primary = [c for c in plan.contrasts if c.family == "primary"]
        assert [(c.name, *pairs[c.name], c.claim) for c in primary] == rows
        (secondary,) = re.findall(r"^Secondary family: .*$", REGISTERED, re.MULTILINE)
        others = [c for c in plan.contrasts if c.family == "secondary"]
        assert sorted(pairs[c.name] for c in others) == sorted(re.findall(r"`(\w+)` - `(\w+)`", secondary))
        assert {c.name for c in others if c.claim != "better"} == {"Centre loss"}
        assert len(primary) + len(others) == len(plan.contrasts)
        assert {used for pair in pairs.values() for used in pair} == set(names.values())


@pytest.mark.slow
def test_synthetic_study_conditions_compose_and_change_one_option_each(tmp_path: Path) -> None:
    starts = started("facs/run.sh", tmp_path, "paths.runs=else where")
    swept = ("-m", "name=", "seed=", "loss=", "launcher=", "trainer=", "paths.")
    changes = {}
    for words in starts:
        (name,) = [word.partition("=")[2] for word in words if word.startswith("name=")]
        changes[name] = [word for word in words if not word.startswith(swept)]
        build_on_trial(composed(*changes[name], "trainer=cpu"))
        assert "paths.runs=else where" in words
    assert changes.pop("facs_clean") == ["experiment=facs_studies"]
    assert len(changes) == 5
    assert all(len(words) == 2 for words in changes.values())
    registered = (ROOT / "docs" / "experiments" / "facs_studies.md").read_text(encoding="utf-8")
    assert all(f"`{name.removeprefix('facs_')}`" in registered for name in changes)
