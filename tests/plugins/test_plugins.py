"""A user's dataset, loss, backbone and augmentation: the files shown in docs/extending.md."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from commands.conftest import Mfer, only_run
from commands.processes import Bench, check_two_ranks, results
from PIL import Image

from mfer_lightning import load_model
from mfer_lightning.config.instantiate import instantiate
from mfer_lightning.config.location import use_config_dirs
from mfer_lightning.config.plugins import missing_plugins, plugins_loaded
from mfer_lightning.errors import UserError
from mfer_lightning.inference.model import read_model
from mfer_lightning.sweeps.identity import config_hash

#: timm warns, since each test has a copy of the files.
pytestmark = pytest.mark.filterwarnings("ignore:Overwriting tiny_net:UserWarning")

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"
FILES = dict(re.findall(r"^`([\w/.]+)`:\n\n```\w+\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S))

#: Options of all commands here: the user's folder of choices and the user's package.
MINE = ("--config-dir", "my_conf", "plugins=[my_lab]")

#: A run that takes a second.
OPTIONS = (
    *("dataset=moods", "loss=spread", "backbone=tiny_net", "augment=dim", "attention.kernel_size=3"),
    *("preprocess.size=32", "dataset.size=32", "trainer.max_epochs=1", "loader.batch_size=8", "loader.num_workers=0"),
    *("evaluation.embedding_points=0", "paths.data=data"),
)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Path]:
    """A working directory with the files of the docs page and some faces."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    faces = tmp_path / "data" / "moods"
    faces.mkdir(parents=True)
    noise = np.random.default_rng(0)
    with (faces / "moods.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("photo", "mood", "part"))
        for part, count in (("train", 24), ("val", 9), ("test", 9)):
            for number in range(count):
                mood = ("cross", "cheerful", "down")[number % 3]
                pixels = noise.integers(0, 120, (40, 40, 3), dtype=np.uint8)
                pixels[..., number % 3] += 100
                Image.fromarray(pixels).save(faces / f"{part}{number}.png")
                table.writerow((f"{part}{number}.png", mood, part))
    yield tmp_path
    for name in [n for n in sys.modules if n.partition(".")[0] in ("my_lab", "broken", "misspelt")]:
        del sys.modules[name]
    sys.path[:] = [p for p in sys.path if p != str(tmp_path)]
    use_config_dirs(())


def test_dataset_without_valence_and_arousal_is_rejected(
    lab: Path, mfer: Mfer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert mfer(*MINE, *OPTIONS, "valence_arousal=ccc") == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "has no valence and arousal, so they cannot be learned. Use valence_arousal=none" in said


def test_page_shows_every_file() -> None:
    assert set(FILES) == {
        "my_lab/__init__.py",
        *(f"my_lab/{name}.py" for name in ("moods", "spread", "tiny_net", "dim")),
        *(f"my_conf/{name}.yaml" for name in ("dataset/moods", "loss/spread", "backbone/tiny_net", "augment/dim")),
    }


@pytest.mark.slow
def test_plugin_parts_train_evaluate_predict_export_and_report(
    lab: Path, mfer: Mfer, capsys: pytest.CaptureFixture
) -> None:
    assert mfer(*MINE, *OPTIONS, "trainer=cpu") == 0, capsys.readouterr().err
    run = only_run(lab / "runs")
    result = json.loads((run / "result.json").read_text())
    assert run.name.startswith("moods-tiny_net-ds-spread-s0-")
    assert result["protocol"] == "moods@native"
    assert result["config"]["dataset"]["_target_"] == "my_lab.MoodFaces"
    assert "train/feature" in (run / "metrics.csv").read_text().splitlines()[0]

    checkpoint = f"checkpoint={run}"
    own = "plugins=[my_lab]"
    assert mfer("evaluate", checkpoint, own, "loader.num_workers=0", "evaluation.embedding_points=0") == 0
    again = ("dataset=moods", "dataset.size=32", "paths.data=data", "evaluation.embedding_points=0", "output=again")
    assert mfer("evaluate", *MINE, checkpoint, *again) == 0
    assert json.loads((lab / "again" / "result.json").read_text())["metrics"] == result["metrics"]
    assert mfer("predict", checkpoint, own, "source=data/moods/test0.png", "aligned=true") == 0
    assert mfer("export", checkpoint, own, "output=exported") == 0
    assert mfer("report", *MINE, "runs", "embedding=none") == 0
    assert mfer("data", *MINE, *OPTIONS, "sheet=none") == 0
    answer = load_model(run, plugins=["my_lab"]).predict(lab / "data" / "moods" / "test0.png", aligned=True)
    assert answer is not None
    capsys.readouterr()

    for words in (("evaluate", checkpoint), ("predict", checkpoint, "source=data/moods/test0.png", "aligned=true")):
        assert mfer(*words) == 2
        said = capsys.readouterr().err
        assert "plugins=[my_lab]" in said
        assert said.count("\n") == 1, said
    with pytest.raises(UserError, match=r"names `my_lab\.\w+`.*plugins=\[my_lab\]"):
        read_model(lab / "exported", "cpu")
    assert config_hash(result["config"]) == config_hash({**result["config"], "plugins": []}) == run.name[-8:]


def test_help_and_hints_list_plugin_choices(lab: Path, mfer: Mfer, capsys: pytest.CaptureFixture) -> None:
    assert mfer("--config-dir", "my_conf", "--help") == 0
    assert "moods" in capsys.readouterr().out
    assert mfer(*MINE, "dataset=mods") == 2
    assert "Did you mean 'moods'" in capsys.readouterr().err
    assert mfer("dataset=moods") == 2  # without the folder the choice does not exist and is not suggested
    assert "Did you mean 'moods'" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("plugins=[nope]",), ("plugins=[nope]", "no package `nope`")),
        (("plugins=[my_lab.nope]",), ("no package `my_lab.nope`",)),
        (("plugins=[broken]",), ("plugins=[broken]", "broken.py, line 2", "ZeroDivisionError")),
        (("plugins=[./my_lab]",), ("the name that Python imports",)),
        (("plugins=[subprocess]",), ("belongs to Python",)),
        (("plugins=[torch]",), ("`torch` belongs to", "one of its libraries")),
        (("plugins=[timm.models]",), ("`timm` belongs to",)),
        (("plugins=[__main__]",), ("cannot be a plugin",)),
        (("plugins=[misspelt]",), ("misspelt.py, line 1", "SyntaxError")),
        (("plugins=[my_lab]", "loss.feature._target_=my_lab.tiny_net"), ("does not define such a class",)),
        (("plugins=my_lab",), ("plugins", "a list in brackets")),
        (("loss.feature._target_=my_lab.CosineSpread",), ("`my_lab.CosineSpread`", "give plugins=[my_lab]")),
        (("plugins=[my_lab]", "loss.feature._target_=my_lab.CosineSpred"), ("does not define", "'CosineSpread'")),
        (("plugins=[my_lab]", "loss.feature._target_=my_lab.spread.nn"), ("does not define",)),
        (("plugins=[my_lab]", "loss.feature._target_=my_lab.other.Loss"), ("has not imported my_lab.other",)),
        (("plugins=[my_lab]", "dataset._target_=my_lab.Dim"), ("`my_lab.Dim` is not a FaceDataModule",)),
        (("evaluate", "checkpoint=x", "plugins=[nope]"), ("no package `nope`",)),
    ],
    ids=lambda part: " ".join(part) if "=" in part[0] or "=" in part[-1] else "",
)
def test_faulty_plugin_raises_one_clear_error(
    arguments: tuple[str, ...], words: tuple[str, ...], lab: Path, mfer: Mfer, capsys: pytest.CaptureFixture
) -> None:
    (lab / "broken.py").write_text('"""Fails."""\n1 / 0\n')
    (lab / "misspelt.py").write_text("def f(:\n")
    assert mfer(*arguments) == 2
    said = capsys.readouterr().err
    assert all(word in said for word in words), said
    assert said.startswith("Error: ")
    assert said.count("\n") == 1, said


def test_plugin_is_allowed_only_within_the_block(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mfer_lightning.config.instantiate import locate

    monkeypatch.chdir(lab)
    with plugins_loaded(["my_lab"]):
        assert locate("my_lab.CosineSpread").__name__ == "CosineSpread"
    with pytest.raises(UserError, match=r"plugins=\[my_lab\]"):
        locate("my_lab.CosineSpread")


def test_checkpoint_names_its_missing_plugins() -> None:
    said = missing_plugins({"plugins": ["my_lab", 3, "../x"]})
    assert said == " It was trained with plugins=[my_lab]: add the same option."
    assert not missing_plugins({"plugins": "my_lab"})
    assert not missing_plugins(None)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["trainer=ddp_cpu", "launcher=joblib"])
def test_plugins_work_in_sweep_processes(where: str, lab: Path) -> None:
    bench = Bench(lab)
    sweep = ("-m", *MINE, *OPTIONS, "trainer=cpu", where, "loss=ce,spread", "name=both")
    # with PYTHONSAFEPATH, `python -m` does not add the working directory to sys.path, so mfer itself must add it
    done = bench.program("mfer_lightning", *sweep, PYTHONSAFEPATH="1")
    assert done.returncode == 0, done.stderr
    found = results(lab / "runs" / "both")
    assert len(found) == 2
    for run in found if where == "trainer=ddp_cpu" else ():
        check_two_ranks(run)
    assert (lab / "runs" / "both" / "report" / "report.html").is_file()
    assert not bench.left_running()


def test_checkpoint_cannot_call_a_function_of_a_plugin(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(lab)
    (lab / "my_lab" / "__init__.py").write_text("def helper(command):\n    open('called', 'w').close()\n")
    with plugins_loaded("my_lab"):
        with pytest.raises(UserError, match="does not define such a class"):
            instantiate({"_target_": "my_lab.helper", "command": ["touch", "called"]})
        with pytest.raises(UserError, match="does not define such a class"):
            instantiate(
                {"_target_": "mfer_lightning.losses.CrossEntropy", "label_smoothing": {"_target_": "my_lab.helper"}}
            )
    assert not (lab / "called").exists()


def test_non_string_plugin_name_raises_user_error() -> None:
    with pytest.raises(UserError, match="the name that Python imports"), plugins_loaded([None]):  # type: ignore[list-item]
        pass
