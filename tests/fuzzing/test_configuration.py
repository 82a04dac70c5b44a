"""Damaged command lines and YAML files (of a user and a plugin) give a valid training run or one error message."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands.conftest import FEW
from fuzzing.campaign import COUNTS, Kind, survives
from fuzzing.mutations import ODD_VALUES, Draw, edited_bytes, edited_text, edited_value
from fuzzing.outcome import command_line
from fuzzing.planted import FAULTS, found
from hypothesis import strategies as st

from mfer_lightning.config.location import choices, config_dir, groups, use_config_dirs
from mfer_lightning.training import run

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"
FILES = dict(re.findall(r"^`([\w/.]+)`:\n\n```\w+\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S))
#: Configuration files of a user, which override or extend those of the package.
MINE = {
    "my_conf/loss/mine.yaml": (config_dir() / "loss" / "lgm.yaml").read_text(encoding="utf-8"),
    "my_conf/experiment/mine.yaml": "# @package _global_\ndefaults:\n  - override /augment: none\n"
    "optimizer:\n  lr: 0.01\ntrainer:\n  max_epochs: 2\nseed: 3\n",
    "my_conf/whole.yaml": "defaults: [train, _self_]\nseed: 7\npreprocess: {size: 32}\nloader: {batch_size: 8}\n",
}
#: Options of the command line, each with a legal value.
OPTIONS = (
    *("seed=1", "trainer.max_epochs=2", "trainer.precision=32-true", "optimizer.lr=0.01", "optimizer=sgd", "loss=lgm"),
    *("loss.feature_weight=0.5", "attention=ds", "attention.kernel_size=3", "attention.stages=[3,4]", "head=linear"),
    *("backbone.options={depths:[1,1,1,1],dims:[8,16,24,32]}", "preprocess.mean=[0.5,0.5,0.5]", "preprocess.size=32"),
    *(
        "dataset.difficulty=0.3",
        "dataset.train_size=40",
        "dataset.label_noise=0.1",
        "loader.batch_size=8",
        "augment=none",
    ),
    *("method=scn", "mixup.alpha=0.2", "monitor=accuracy", "weights=none", "scheduler=cosine", "track_test=true"),
    *("evaluation.flip=true", "evaluation.shift=0.02", "callbacks=early_stopping", "loader.num_workers=0", "name=x"),
)
_VALUES = (
    *("[", "]", "{a:1", "'", '"', "a=b", "a,b", "${seed}", "${nothing}", "???", "null", "~", "1e3", "0x1"),
    "1_0",
)


def commands(draw: Draw, path: Path) -> None:
    """Write one to three options with unusual names or values, one per line."""
    lines = []
    for _ in range(draw(st.integers(1, 3))):
        name, _, value = OPTIONS[draw(st.integers(0, len(OPTIONS) - 1))].partition("=")
        what = draw(st.sampled_from(("value", "value", "plain", "name", "choice", "text", "two")))
        if what == "value":
            value = str(draw(st.sampled_from((*(v for v in ODD_VALUES if not isinstance(v, (dict, list))), *_VALUES))))
        elif what == "plain":
            value = draw(st.sampled_from(_VALUES))
        elif what == "name":
            name = draw(
                st.sampled_from((f"+{name}", f"++{name}", f"~{name}", f"{name}.x", name[:-1], name.upper(), ""))
            )
        elif what == "choice":
            name = draw(st.sampled_from(sorted(groups())))
            value = draw(st.sampled_from((*choices(name), "nothing", "")))
        elif what == "text":
            value = draw(st.text(max_size=8))
        elif what == "two":
            value = f"{value},{value}"
        lines.append(f"{name}={value}".replace("\n", "\\n").replace("\0", ""))
    path.write_text("\n".join(lines), encoding="utf-8", errors="replace")


def files(draw: Draw, folder: Path) -> None:
    """Change or delete one of the YAML files, and write its name to the file ``damaged``."""
    found = sorted((folder / "my_conf").rglob("*.yaml"))
    path = found[draw(st.integers(0, len(found) - 1))]
    (folder / "damaged").write_text(path.stem)
    text, what = path.read_text(), draw(st.sampled_from(("bytes", "text", "value", "value", "missing")))
    if what == "bytes":
        path.write_bytes(edited_bytes(draw, text.encode()))
    elif what == "text":
        path.write_bytes(edited_text(draw, text, ": "))
    elif what == "value":
        head = "".join(line for line in text.splitlines(keepends=True) if line.startswith("# @package"))
        path.write_text(head + yaml.safe_dump(edited_value(draw, yaml.safe_load(text))), "utf-8", "surrogateescape")
    else:
        path.unlink()


@pytest.fixture(autouse=True)
def _nothing_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop a training run before it reads data, after the checks of its configuration and a trial build."""
    monkeypatch.setattr(run, "_train", lambda *_: 0.5)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The files of docs/extending.md, and additional files."""
    folder = tmp_path_factory.mktemp("lab")
    for name, text in {**FILES, **MINE}.items():
        (folder / "lab" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "lab" / name).write_text(text, encoding="utf-8")
    sys.path.insert(0, str(folder / "lab"))
    yield folder / "lab"
    sys.path.remove(str(folder / "lab"))
    for name in [n for n in sys.modules if n.partition(".")[0] == "my_lab"]:
        del sys.modules[name]
    use_config_dirs(())


def trains(place: Path, *words: str) -> str:
    """Return the output of ``mfer train``, with its runs next to the input."""
    return command_line("train", *words, f"paths.runs={place.parent / 'out' / 'runs'}")


def of_commands(folder: Path) -> Kind:
    """Options on the command line as a kind of input."""
    path = folder / "options.txt"
    path.write_text("seed=1\noptimizer.lr=0.01")

    def read(place: Path) -> str:
        return trains(place, *FEW, *place.read_text(encoding="utf-8").split("\n"))

    return Kind(path, commands, read, planted="mfer_lightning.commands.train:launch")


def of_files(lab: Path) -> Kind:
    """The user's and a plugin's YAML files as a kind of input; only commands that use the damaged file are run."""
    few = ("attention.kernel_size=3", "preprocess.size=32", "dataset.size=32", "evaluation.embedding_points=0")

    def read(place: Path) -> str:
        conf = ("--config-dir", str(place / "my_conf"))
        damaged = (place / "damaged").read_text() if (place / "damaged").exists() else ""
        plugin = ("plugins=[my_lab]", "dataset=moods", "loss=spread", "backbone=tiny_net", "augment=dim")
        said = ""
        if damaged in ("", "mine"):
            said += trains(place, *conf, *FEW, "loss=mine", "experiment=mine")
        if damaged in ("", "whole"):
            said += trains(place, *conf, "--config-name", "whole", *FEW)
        if damaged not in ("mine", "whole"):
            said += trains(place, *conf, *plugin, *few, f"paths.data={place.parent}")
        return said

    return Kind(lab, files, read, planted="mfer_lightning.commands.train:launch")


@COUNTS
def test_damaged_options_are_accepted_or_rejected(count: int, tmp_path: Path) -> None:
    (tmp_path / "damaged").mkdir()
    survives(of_commands(tmp_path), tmp_path / "damaged", count)


@COUNTS
def test_damaged_files_are_accepted_or_rejected(count: int, lab: Path, tmp_path: Path) -> None:
    survives(of_files(lab), tmp_path, count)


@pytest.mark.parametrize("fault", FAULTS)
def test_harness_detects_a_planted_fault(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "damaged").mkdir()
    kind: Any = of_commands(tmp_path)
    assert found(kind, fault, tmp_path / "damaged", monkeypatch)
