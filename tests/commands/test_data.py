"""`mfer data`: verdicts and exit codes for complete and broken copies; nothing is written to a dataset."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from commands.conftest import Mfer
from data.layout_trees import write_class_folders, write_rafdb
from data.trees import write_ferplus

from mfer_lightning.emotions import EMOTIONS
from mfer_lightning.figures import contact_sheet


def findings(capsys: pytest.CaptureFixture) -> dict[str, dict]:
    return {f["code"]: f for f in json.loads(capsys.readouterr().out)["findings"]}


@pytest.fixture
def ferplus(tmp_path: Path) -> Path:
    return write_ferplus(tmp_path / "data" / "ferplus")


WHERE = ("dataset=ferplus", "paths.data=data")


def test_built_in_dataset_is_healthy(mfer: Mfer, capsys: pytest.CaptureFixture) -> None:
    few = ("dataset.train_size=64", "dataset.val_size=16", "dataset.test_size=16", "dataset.size=32")
    assert mfer("data", *few) == 0
    out = capsys.readouterr().out
    assert "Verdict: healthy" in out
    assert Path("runs/data/facs.png").stat().st_size > 0


def test_augmentation_sheet_shows_training_faces_of_the_first_epochs(
    mfer: Mfer, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = ("dataset.train_size=64", "dataset.val_size=16", "dataset.test_size=16", "dataset.size=32", "images=none")
    sheets: list[tuple] = []
    monkeypatch.setattr(contact_sheet, "plot_contact_sheet", lambda *given: sheets.append(given))
    assert mfer("data", *few, "augment=standard", "augment.flip.p=1", "augment.warp=null", "preview=16") == 0
    assert "Augmented faces: runs/data/facs-augment.png" in capsys.readouterr().out
    ((rows, path, title),) = sheets
    assert path == Path("runs/data/facs-augment.png")
    assert title == "augment=standard (changed), seed=0: as read, then epochs 1 to 8"
    assert len(rows) == 16
    assert {name for name, _ in rows} == set(EMOTIONS)
    for _, (face, *augmented) in rows:
        assert len(augmented) == 8
        alike = [np.corrcoef(picture[:, ::-1].ravel(), face.ravel())[0, 1] for picture in augmented]
        assert min(alike) > 0.97, "mirrored, with different brightness and contrast"
    assert mfer("data", *few, "preview=2", "sheet=out/my.png", "--json") == 0
    assert json.loads(capsys.readouterr().out)["preview"] == "out/my-augment.png"
    assert mfer("data", *few, "preview=-1") == 2
    assert "preview" in capsys.readouterr().err


def test_dataset_folder_is_not_modified(mfer: Mfer, ferplus: Path) -> None:
    before = sorted((f, f.stat().st_mtime_ns) for f in ferplus.rglob("*"))
    assert mfer("data", *WHERE, "sheet=out/sheet.png") == 1
    assert sorted((f, f.stat().st_mtime_ns) for f in ferplus.rglob("*")) == before
    assert Path("out/sheet.png").is_file()


def test_train_test_duplicates_are_leakage_and_conflicting_labels_are_noise(
    mfer: Mfer, ferplus: Path, capsys: pytest.CaptureFixture
) -> None:
    shutil.copy(ferplus / "FER2013Train" / "fer0000003.png", ferplus / "FER2013Test" / "fer0000084.png")
    shutil.copy(ferplus / "FER2013Train" / "fer0000008.png", ferplus / "FER2013Train" / "fer0000009.png")
    assert mfer("data", *WHERE, "--json") == 1
    found = findings(capsys)
    assert "1 face of test" in found["duplicates-train-test"]["message"]
    assert "fer0000003.png" in found["duplicates-train-test"]["examples"][0]
    assert "different labels" in found["duplicates-labels"]["message"]


def test_shared_faces_are_listed_for_evaluation_with_and_without_them(
    mfer: Mfer, ferplus: Path, capsys: pytest.CaptureFixture
) -> None:
    train, test = ferplus / "FER2013Train", ferplus / "FER2013Test"
    shutil.copy(train / "fer0000003.png", test / "fer0000084.png")
    shutil.copy(train / "fer0000003.png", train / "fer0000008.png")  # two twins of one face: it is listed once
    assert mfer("data", *WHERE, "shared=out/shared") == 1
    assert "Shared faces: out/shared/test-in-train.csv (1)" in capsys.readouterr().out
    with Path("out/shared/test-in-train.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row == {"path": "FER2013Test/fer0000084.png", "twin": "FER2013Train/fer0000003.png", "same": "pixels"}
    assert Path("out/shared/val-in-train.csv").read_text().split() == ["path,twin,same"]
    with Path("out/shared/train-in-test.csv").open() as file:
        twins = [Path(row["path"]).name for row in csv.DictReader(file)]
    assert twins == ["fer0000003.png", "fer0000008.png"]
    lists = "dataset.exclude=[out/shared/train-in-test.csv,out/shared/train-in-val.csv]"
    assert mfer("data", *WHERE, lists, "--json") != 2
    found = findings(capsys)
    assert "duplicates-train-test" not in found
    assert mfer("data", *WHERE, "shared=out/shared", "--json") == 1
    assert json.loads(capsys.readouterr().out)["shared"]["out/shared/test-in-train.csv"] == 1


def test_identical_twin_takes_precedence_over_a_similar_one(
    mfer: Mfer, ferplus: Path, capsys: pytest.CaptureFixture
) -> None:
    train, test = ferplus / "FER2013Train", ferplus / "FER2013Test"
    face = cv2.imread(str(train / "fer0000012.png"))
    cv2.imwrite(str(train / "fer0000002.png"), np.minimum(face, 254) + 1)  # a little lighter, and earlier in the list
    cv2.imwrite(str(test / "fer0000085.png"), face)
    cv2.imwrite(str(test / "fer0000086.png"), np.maximum(face, 1) - 1)
    assert mfer("data", *WHERE, "shared=out", "sheet=none") == 1
    with Path("out/test-in-train.csv").open() as file:
        rows = {row["path"][-6:]: (row["twin"][-6:], row["same"]) for row in csv.DictReader(file)}
    assert rows == {"85.png": ("12.png", "pixels"), "86.png": ("02.png", "looks")}


def test_faces_used_for_selection_on_the_test_set_are_listed_as_shared(mfer: Mfer, tmp_path: Path) -> None:
    write_rafdb(tmp_path / "data" / "raf-db", train=28, test=14)
    aligned = tmp_path / "data" / "raf-db" / "Image" / "aligned"
    shutil.copy(aligned / "train_00003_aligned.jpg", aligned / "test_0005_aligned.jpg")
    mfer("data", "dataset=rafdb", "dataset.protocol=paper", "paths.data=data", "shared=out", "sheet=none")
    listed = {file.stem: list(csv.DictReader(file.open())) for file in Path("out").iterdir()}
    assert len(listed["test-in-val"]) == 14
    assert all(row["path"] == row["twin"] for row in listed["test-in-val"])
    assert listed["val-in-train"] == listed["test-in-train"]
    assert [row["path"][-21:] for row in listed["test-in-train"]] == ["test_0005_aligned.jpg"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("shared=",), "shared= has no value"),
        (("shared=out", "images=sample"), "reads every image"),
        (("shared=data/ferplus/lists",), "shared=data/ferplus/lists is inside the dataset's folder"),
        (("shared=data/../data/ferplus",), "is inside the dataset's folder"),
        (("shared=file",), "Cannot create the folder file"),
        (("sheet=file/sheet.png",), "Cannot create the folder file"),
        (("sheet=data/ferplus/sheet.png",), "sheet=data/ferplus/sheet.png is inside the dataset's folder"),
    ],
)
def test_unusable_list_folder_is_rejected_before_images_are_read(
    options: tuple[str, ...],
    words: str,
    mfer: Mfer,
    ferplus: Path,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("file").touch()
    before = sorted(ferplus.rglob("*"))
    monkeypatch.setattr("mfer_lightning.data.doctor.examine", lambda *_: pytest.fail("images were read"))
    assert mfer("data", *WHERE, *options) == 2
    assert words in capsys.readouterr().err
    assert sorted(ferplus.rglob("*")) == before


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda f: f.write_bytes(f.read_bytes()[:60]), "damaged or truncated"),
        (lambda f: f.write_bytes(b""), "empty (0 bytes)"),
        (lambda f: f.write_text("no picture"), "is not a readable image"),
    ],
    ids=["truncated", "zero bytes", "text"],
)
def test_unreadable_image_makes_the_dataset_unusable(
    damage: object, words: str, mfer: Mfer, ferplus: Path, capsys: pytest.CaptureFixture
) -> None:
    damage(ferplus / "FER2013Train" / "fer0000005.png")  # type: ignore[operator]
    assert mfer("data", *WHERE, "--json") == 2
    found = findings(capsys)["unreadable"]
    assert words in found["message"]
    assert found["examples"] == ["FER2013Train/fer0000005.png"]


def test_failing_reader_exits_with_code_2(mfer: Mfer, capsys: pytest.CaptureFixture) -> None:
    assert mfer("data", "dataset=rafdb", "paths.data=nowhere") == 2
    assert "RAF-DB was not found" in capsys.readouterr().err
    assert mfer("data", "dataset=rafdb", "paths.data=nowhere", "--json") == 2
    assert "RAF-DB was not found" in findings(capsys)["unusable"]["message"]


def test_wrong_dataset_in_folder_exits_with_code_2(mfer: Mfer, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_ferplus(tmp_path / "data" / "raf-db")
    assert mfer("data", "dataset=rafdb", "paths.data=data") == 2
    assert "FERPlus" in capsys.readouterr().err or "not found" in capsys.readouterr().err


def test_duplicate_list_entry_is_rejected(mfer: Mfer, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    root = write_rafdb(tmp_path / "data" / "raf-db", train=140)
    names = root / "EmoLabel" / "list_patition_label.txt"
    names.write_text(names.read_text() + "train_00001.jpg 3\n")
    assert mfer("data", "dataset=rafdb", "paths.data=data") == 2
    assert "train_00001.jpg" in capsys.readouterr().err


def test_empty_class_and_flat_image_are_warnings(mfer: Mfer, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    import cv2
    import numpy as np

    root = write_class_folders(tmp_path / "data", {"train": 70, "val": 14, "test": 14}, ("anger", "fear", "joy"))
    (root / "train" / "sadness").mkdir()
    cv2.imwrite(str(root / "train" / "anger" / "000.png"), np.zeros((20, 20, 3), dtype=np.uint8))
    assert mfer("data", "dataset=folder", "dataset.root=data", "--json") == 1
    found = findings(capsys)
    assert found["flat"]["examples"] == ["train/anger/000.png"]
    assert "tiny" in found
    assert any("sadness" in f["message"] for code, f in found.items() if code.startswith("empty-class"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_folder_exits_with_code_2(mfer: Mfer, ferplus: Path, capsys: pytest.CaptureFixture) -> None:
    (ferplus / "FER2013Train").chmod(0)
    try:
        assert mfer("data", *WHERE) == 2
    finally:
        (ferplus / "FER2013Train").chmod(0o755)
    assert "cannot be read" in capsys.readouterr().err


def test_training_options_are_checked(mfer: Mfer, ferplus: Path, capsys: pytest.CaptureFixture) -> None:
    assert mfer("data", *WHERE, "dataset.protocol=dev", "--json", "images=none") == 1
    assert json.loads(capsys.readouterr().out)["protocol"] == "ferplus@dev"


def test_sweep_checks_every_copy_and_continues_after_a_missing_one(
    mfer: Mfer, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    first = write_class_folders(tmp_path / "my faces, v=2 [a]", {".": 4}, ["happy", "sad"])
    last = write_class_folders(tmp_path / "é", {".": 4}, ["anger", "sad"])
    roots = f"dataset.root='{first}',{tmp_path / 'none'},{last}"
    assert mfer("data", "-m", "dataset=folder", roots, "images=none", "sheet=none") == 1
    read = capsys.readouterr()
    assert read.out.count("Verdict: usable") == 2
    assert read.err.count("Error: ") == 1
    assert f"{tmp_path / 'none'} does not exist" in read.err
    assert mfer("data", "dataset=folder", "+dataset.nothing={a", "sheet=none") == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("images=some",), "images=some"),
        (("faces=0",), "at least 1"),
        (("sheet=a.jpg",), "a .png file"),
        (("dataset=rafbd",), "Did you mean 'rafdb'"),
        (("dataset.protocol=none",), "not a protocol of facs"),
        (("optimizer=adamx",), "Did you mean 'adamw'"),
        (("--jsn",), "no flag --jsn"),
    ],
)
def test_invalid_arguments_raise_one_clear_error(
    arguments: tuple[str, ...], words: str, mfer: Mfer, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert mfer("data", *arguments) == 2
    err = capsys.readouterr().err
    assert words in err
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("noise=audit",), "needs networks that were not trained on the faces they judge"),
        (("noise=audit", "checkpoint=a.ckpt", "dataset=ferplus"), "takes the dataset and its options from the check"),
        (("noise=audit", "checkpoint=absent"), "There is no absent"),
        (("noise=audit", "shared=lists"), "shared=lists applies only to the dataset check, not to noise=audit"),
        (("noise=look",), "noise=look"),
        (("checkpoint=runs/a",), "checkpoint=runs/a applies only to a label audit: add noise=audit"),
    ],
)
def test_audit_names_its_missing_requirements(
    mfer: Mfer, capsys: pytest.CaptureFixture, options: tuple[str, ...], words: str
) -> None:
    assert mfer("data", *options) == 2
    assert words in " ".join(capsys.readouterr().err.split())
