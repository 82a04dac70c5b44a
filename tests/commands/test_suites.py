"""`mfer evaluate suite=robustness` and `suite=explain`: outputs, errors, and resuming."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mfer_lightning.analysis.forward_passes import Passes
from mfer_lightning.cli import main
from mfer_lightning.evaluation.predictions import Predictions

QUICK = ("robustness.kinds=[contrast,shift,resolution]",)


def mfer(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    return int(stop.value.code or 0)


def evaluate(run: Path, *arguments: str) -> int:
    return mfer("evaluate", f"checkpoint={run}", "loader.num_workers=0", "device=cpu", *arguments)


def card_in(folder: Path, name: str = "robustness") -> dict:
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


def test_robustness_suite_writes_numbers_table_and_figures(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    faces = tmp_path / "hidden.csv"
    faces.write_text("name,label\ntest/000001.png,1\ntest/000004.png,2\n000004,2\nelse_7.png,0\ntrain/000030.png,1\n")
    assert evaluate(trained, "suite=robustness", *QUICK, f"lists.occlusion={faces}") == 0
    folder = trained / "evaluations" / "facs@native-test-robustness"
    card, whole = card_in(folder), json.loads((trained / "result.json").read_text())
    assert card["clean"]["accuracy"] == whole["metrics"]["accuracy"]
    assert card["clean"]["mean_class_accuracy"] == pytest.approx(whole["metrics"]["mean_class_accuracy"])
    assert card["n"] == card["n_of_split"] == 37
    assert [len(card["curves"][kind]["points"]) for kind in ("contrast", "shift", "resolution")] == [5, 5, 2]
    assert card["batch"]["passes"]
    found = card["lists"]["occlusion"]
    assert (found["subset"]["n"], found["rest"]["n"]) == (2, 35)
    assert (found["repeated"], found["elsewhere"], found["unknown"]) == (1, 1, 1)
    assert any("list occlusion: 2 of its 4 names" in note for note in card["notes"])
    with (folder / "robustness.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["kind"] for row in rows] == [
        "clean",
        *["contrast"] * 5,
        *["resolution"] * 2,
        *["shift"] * 5,
        "list:occlusion",
        "rest:occlusion",
    ]
    assert float(rows[1]["accuracy"]) == card["curves"]["contrast"]["points"][0]["accuracy"]
    for figure in ("robustness", "changes", "lists"):
        with Image.open(folder / "figures" / f"{figure}.png") as image:
            assert np.asarray(image.convert("L")).std() > 5
    assert not (folder / "unfinished").exists()
    out = capsys.readouterr().out
    assert max(map(len, out.partition("Run:")[0].splitlines())) <= 80
    assert "contrast" in out
    assert "batch: no effect on predictions" in out
    assert (trained / "result.json").read_text() == json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


@pytest.mark.slow
def test_quick_card_is_marked_as_quick(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    arguments = ("suite=robustness", "robustness.kinds=[jpeg]", "robustness.limit=16", "robustness.batch=false")
    assert evaluate(trained, *arguments, f"output={tmp_path}") == 0
    card = card_in(tmp_path)
    assert evaluate(trained, *arguments, f"output={tmp_path / 'workers'}", "loader.num_workers=2") == 0
    assert card_in(tmp_path / "workers")["curves"] == card["curves"]  # same result with workers
    assert card["n"] == pytest.approx(16, abs=4)
    assert card["n_of_split"] == 37
    assert f"a stratified sample of {card['n']} of 37 faces (robustness.limit)" in card["notes"]
    assert card["batch"] is None
    assert not card["summary"]["corruptions"]["whole"]
    assert "a stratified sample of" in capsys.readouterr().out


@pytest.mark.slow
def test_interrupted_card_resumes_and_leaves_no_partial_output(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = tmp_path / "once"
    assert evaluate(trained, "suite=robustness", *QUICK, f"output={once}") == 0
    ran: list[str] = []
    run = Passes.run

    def stop(self: Passes, name: str, *arguments: object, **options: object) -> np.ndarray:
        ran.append(name)
        if name == "shift-3":
            raise KeyboardInterrupt
        return run(self, name, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Passes, "run", stop)
    again = tmp_path / "again"
    assert evaluate(trained, "suite=robustness", *QUICK, f"output={again}") == 130
    assert {path.name for path in again.iterdir()} == {"unfinished"}
    ran.clear()
    monkeypatch.setattr(Passes, "run", lambda self, name, *a, **o: (ran.append(name), run(self, name, *a, **o))[1])
    assert evaluate(trained, "suite=robustness", *QUICK, f"output={again}") == 0
    assert [name for name in ran if name[-1].isdigit()] == ["shift-3", "shift-4", "shift-5"]
    first, second = card_in(once), card_in(again)
    assert second.pop("passes_reused") > first.pop("passes_reused")
    assert {k: v for k, v in second.items() if k != "hardware"} == {k: v for k, v in first.items() if k != "hardware"}
    assert not (again / "unfinished").exists()


def test_unfinished_card_is_not_resumed_with_different_images(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The labels, and therefore the data hash, are the same, but the images differ."""
    ran: list[str] = []
    run = Passes.run

    def stop(self: Passes, name: str, *arguments: object, **options: object) -> np.ndarray:
        ran.append(name)
        if name == "contrast-1" and ran.count(name) == 1:
            raise KeyboardInterrupt
        return run(self, name, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Passes, "run", stop)
    asked = ("suite=robustness", "robustness.kinds=[contrast]", "robustness.batch=false", f"output={tmp_path / 'out'}")
    assert evaluate(trained, *asked) == 130
    assert evaluate(trained, *asked, "dataset.occlusion=1.0") == 0
    assert ran.count("clean") == 2


@pytest.mark.slow
def test_suite_supports_dropped_classes_and_flip(trained: Path) -> None:
    more = ("drop=[contempt]", "flip=true", "robustness.kinds=[shift]", "split=val")
    assert evaluate(trained, "suite=robustness", *more) == 0
    card = card_in(trained / "evaluations" / "facs@native-without-contempt-val-flip-robustness")
    assert card["protocol"] == "facs@native-without-contempt"
    assert "contempt" not in card["class_names"]
    assert card["n"] < 24
    assert card["flip"]["total_variation"] > 0  # without flip averaging, which would make the difference 0


@pytest.mark.slow
def test_worst_mistakes_are_explained(trained: Path, capsys: pytest.CaptureFixture) -> None:
    assert evaluate(trained, "suite=explain", "explain.count=5") == 0
    folder = trained / "evaluations" / "facs@native-test-explain"
    card = card_in(folder, "explain")
    table = Predictions.from_csv(trained / "predictions_test.csv")
    p = table.probabilities
    wrong = np.flatnonzero(table.pred != table.label)
    worst = wrong[np.argsort(-p[wrong].max(axis=1), kind="stable")][:5]
    assert [face["index"] for face in card["faces"]] == table.index[worst].tolist()
    for face, row in zip(card["faces"], worst, strict=True):
        assert face["predicted"] == face["explained"] == table.class_names[table.pred[row]] != face["true"]
        assert face["confidence"] == pytest.approx(p[row].max(), abs=1e-5)
    assert [a["stage"] for a in card["attention"]] == [3, 4]
    with np.load(folder / "maps.npz") as maps:
        assert maps["index"].tolist() == table.index[worst].tolist()
        assert maps["gradcam"].shape == (5, 32, 32)
        assert 0 <= maps["gradcam"].min() <= maps["gradcam"].max() <= 1
        np.testing.assert_allclose(maps["attention_stage3_mean"].sum(axis=(1, 2)), 1, atol=5e-3)
    for figure in ("gradcam", "attention"):
        assert (folder / "figures" / f"{figure}.png").stat().st_size > 5000
    assert "most confident mistakes" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("options", [("explain.choice=sample",), ("explain.choice=surest",)])
def test_other_face_selections_are_explained(options: tuple[str, ...], trained: Path, tmp_path: Path) -> None:
    assert evaluate(trained, "suite=explain", *options, "explain.count=6", f"output={tmp_path}") == 0
    faces = card_in(tmp_path, "explain")["faces"]
    assert 1 <= len(faces) <= 6
    if "sample" in options[0]:
        assert len({face["true"] for face in faces}) >= 4
    else:
        assert all(face["true"] == face["predicted"] for face in faces)


def test_chosen_rows_and_emotion_are_explained(trained: Path, tmp_path: Path) -> None:
    table = Predictions.from_csv(trained / "predictions_test.csv")
    rows = [int(table.index[20]), int(table.index[3])]
    asked = (f"explain.rows=[{rows[0]},{rows[1]}]", "explain.target=joy", "explain.stage=2", "explain.method=layercam")
    assert evaluate(trained, "suite=explain", *asked, f"output={tmp_path}") == 0
    card = card_in(tmp_path, "explain")
    assert [face["index"] for face in card["faces"]] == rows
    assert [face["predicted"] for face in card["faces"]] == [table.class_names[table.pred[i]] for i in (20, 3)]
    assert {face["explained"] for face in card["faces"]} == {"happiness"}
    assert card["stage"] == 2


def test_missing_package_is_reported_before_prediction(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "pytorch_grad_cam", None)
    monkeypatch.setattr(Passes, "run", lambda *a, **o: pytest.fail("faces were predicted"))
    assert evaluate(trained, "suite=explain", f"output={tmp_path / 'out'}") == 2
    assert "pip install 'mfer_lightning[cam]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("suite=robustness", "robustness.limit=0"), "give a number of faces, at least 1"),
        (("suite=robustness", "robustness.limit=many"), "robustness.limit"),
        (("suite=robustness", "robustness.kinds=[blur]"), "is not part of the suite"),
        (("suite=robustness", "robustness.border=pink"), "robustness.border=pink"),
        (("suite=robustness", "robustness.limt=3"), "limit"),
        (("suite=robustness", "lists.occlusion=nothing.txt"), "There is no list nothing.txt"),
        (("suite=robustness", "lists.occlusion=3"), "There is no list 3. Give a text or csv file"),
        (("suite=robustness", "lists.occlusion={run}/metrics.csv"), "lists.occlusion: none of its"),
        (("suite=explain", "explain.choice=best"), "explain.choice=best"),
        (("suite=explain", "explain.method=cam"), "explain.method=cam"),
        (("suite=explain", "explain.count=0"), "from 1 to 200"),
        (("suite=explain", "explain.stage=7"), "explain.stage=7"),
        (("suite=explain", "explain.target=joyful"), "explain.target=joyful"),
        (("suite=explain", "explain.rows=[99999]"), "99999 is not in the test split"),
        (("suite=explain", "explain.rows=[]"), "must be 1 to 200 row numbers"),
    ],
)
def test_invalid_arguments_raise_one_clear_error(
    arguments: tuple[str, ...], words: str, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert evaluate(trained, *(a.format(run=trained) for a in arguments), f"output={tmp_path / 'out'}") == 2
    err = capsys.readouterr().err
    assert words in err
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("suite", ["standard", "robustness", "explain"])
def test_dropping_all_faces_of_a_split_is_rejected(
    suite: str, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for folder in ("train/anger", "train/fear", "train/neutral", "test/anger"):
        (tmp_path / "faces" / folder).mkdir(parents=True)
        for number in range(2):
            image = np.full((64, 64, 3), 40 * number + len(folder), np.uint8)
            Image.fromarray(image).save(tmp_path / "faces" / folder / f"{number}.png")
    here = ("dataset=folder", f"dataset.root={tmp_path / 'faces'}", f"output={tmp_path / 'out'}", f"suite={suite}")
    assert evaluate(trained, *here, "drop=[happiness,sadness,surprise,disgust,contempt,anger]") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error == "Error: All faces of the test split belong to dropped classes. Drop fewer classes."
