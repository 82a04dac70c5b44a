"""`mfer evaluate checkpoint=[...] datasets=[...]`: several models on several datasets, as one matrix."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from commands.conftest import Mfer
from data.layout_trees import write_rafdb
from data.trees import write_ferplus
from PIL import Image

SIZES = "test_size:37,train_size:32,val_size:24,size:32"  # the options that the model was trained with
FEW = ("loader.num_workers=0", "device=cpu")


@pytest.fixture
def two(trained: Path, tmp_path: Path, mfer: Mfer) -> tuple[Path, Path]:
    """Two runs, copies of one, in the working directory of ``mfer``."""
    runs = [tmp_path / "runs" / name for name in ("a", "b")]
    for run in runs:
        shutil.copytree(trained, run, ignore=shutil.ignore_patterns("evaluations"))
    return runs[0], runs[1]


@pytest.mark.slow
def test_every_pair_is_evaluated_and_the_matrix_is_written(two: tuple[Path, Path], mfer: Mfer, tmp_path: Path) -> None:
    write_rafdb(tmp_path / "data" / "raf-db", train=0, test=28)
    write_ferplus(tmp_path / "data" / "ferplus")
    datasets = f"datasets=[{{name:facs,{SIZES}}},{{name:facs,difficulty:0.9,{SIZES}}},rafdb,ferplus]"
    models = f"checkpoint=[{two[0]},{two[1]}]"
    assert mfer("evaluate", models, datasets, f"paths.data={tmp_path / 'data'}", "output=out", *FEW) == 0
    matrix = json.loads(Path("out/matrix.json").read_text())
    assert matrix["models"] == ["a", "b"]
    assert len(matrix["cells"]) == 8
    for a, b in zip(matrix["cells"][:4], matrix["cells"][4:], strict=True):
        assert a["accuracy"] == b["accuracy"], "copies of one model"
        assert a["faces"] == b["faces"] > 0
        assert a["low"] <= a["accuracy"] <= a["high"]
    assert [cell["at_home"] for cell in matrix["cells"][:4]] == [True, False, False, False]
    rafdb = matrix["cells"][2]
    assert rafdb["left_out"] == ["contempt"]
    assert rafdb["protocol"] == "rafdb@holdout-without-contempt"
    assert rafdb["faces"] == 28
    assert matrix["cells"][3]["alignment"].startswith("faces aligned as ferplus-48")
    assert not matrix["cells"][0]["alignment"]
    for cell in matrix["cells"]:
        result = json.loads((Path(cell["folder"]) / "result.json").read_text())
        assert result["metrics"]["accuracy"] == cell["accuracy"]
    folders = {cell["folder"] for cell in matrix["cells"]}
    assert len(folders) == 8, "variants of one dataset have separate folders"


def test_failing_pair_is_reported_and_the_others_are_evaluated(
    two: tuple[Path, Path], mfer: Mfer, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for emotion in ("boredom", "calm"):
        (tmp_path / "mine" / "test" / emotion).mkdir(parents=True)
        Image.new("RGB", (32, 32), "grey").save(tmp_path / "mine" / "test" / emotion / "1.png")
    datasets = f"datasets=[{{name:facs,{SIZES}}},{{name:folder,root:{tmp_path / 'mine'}}}]"
    assert mfer("evaluate", f"checkpoint={two[0]}", datasets, "output=out", *FEW) == 1
    said = capsys.readouterr().out
    assert "not measured" in said
    cells = json.loads(Path("out/matrix.json").read_text())["cells"]
    assert [bool(cell["error"]) for cell in cells] == [False, True]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("checkpoint=[runs/a,runs/b]",), "give the datasets"),
        (("checkpoint=runs/a", "datasets=[facs]", "dataset=facs"), "cannot be combined with datasets"),
        (("checkpoint=runs/a", "datasets=[facs]", "dataset.size=32"), "cannot be combined with datasets"),
        (("checkpoint=runs/a", "datasets=[facs]", "suite=robustness"), "suite cannot be combined with datasets"),
        (("checkpoint=runs/a", "datasets=[facs,facs]"), "contains facs twice"),
        (("checkpoint=runs/a", "datasets=[fasc]"), "facs"),
        (("checkpoint=runs/a", "datasets=[{difficulty:1}]"), "a mapping with its name"),
        (("datasets=[facs]",), "Name the models"),
        (("checkpoint=runs/c", "datasets=[facs]"), "There is no"),
    ],
)
def test_invalid_arguments_raise_one_clear_error(
    mfer: Mfer, two: tuple[Path, Path], capsys: pytest.CaptureFixture, arguments: tuple[str, ...], message: str
) -> None:
    assert mfer("evaluate", *arguments, *FEW) == 2
    assert message in capsys.readouterr().err
