"""`mfer predict` on a folder of fifty mixed files: correct rows, nothing left out silently, exit code 0, resumable."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from inference.predict.conftest import save_run, write
from inference.predict.mixed import bomb, make
from PIL import Image

import mfer_lightning.inference.predict.run as run_module
from mfer_lightning import load_model
from mfer_lightning.cli import main
from mfer_lightning.emotions import EMOTIONS
from mfer_lightning.errors import UserError
from mfer_lightning.inference.media.photos import read_photo
from mfer_lightning.inference.predict.journal import Journal
from mfer_lightning.inference.predict.run import MANY, usual_workers
from mfer_lightning.inference.predictor import Predictor
from mfer_lightning.inference.results import Face, Prediction

Mfer = Callable[..., int]


def predict(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["predict", "device=cpu", *map(str, arguments)])
    return int(stop.value.code or 0)


def lines(output: Path) -> list[dict]:
    return [json.loads(line) for line in (output / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]


def rows(output: Path) -> list[dict[str, str]]:
    with (output / "predictions.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def mixed(
    tmp_path_factory: pytest.TempPathFactory, run: Path, portrait: np.ndarray
) -> tuple[Path, Path, dict[str, tuple[str, int]], int, str]:
    """The folder, results, expectations, exit code and output."""
    place = tmp_path_factory.mktemp("mixed")
    folder, output = place / "photos", place / "out"
    expected = make(folder, portrait)
    said = StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        code = predict(f"checkpoint={run}", f"source={folder}", f"output={output}", "annotate=true")
    return folder, output, expected, code, said.getvalue()


def test_every_file_has_the_correct_row(mixed: tuple) -> None:
    _, output, expected, code, said = mixed
    assert code == 0, said
    assert len(expected) >= 50
    found = {line["key"]: (line["status"], len(line["faces"])) for line in lines(output)}
    assert found == expected
    assert all(line["message"] for line in lines(output) if line["status"] not in ("ok", "no face"))


def test_table_has_one_row_per_face_and_one_per_photo_without_faces(mixed: tuple) -> None:
    folder, output, expected, _, _ = mixed
    table = rows(output)
    assert len(table) == sum(max(1, faces) for _, faces in expected.values())
    assert {row["path"] for row in table} == {f"{folder}/{name}" for name in expected}
    for row in table:
        if row["status"] == "ok":
            assert sum(float(row[f"p_{name}"]) for name in EMOTIONS) == pytest.approx(1, abs=1e-5)
            assert float(row["confidence"]) > 0.9
            assert float(row["left_eye_x"]) < float(row["right_eye_x"])


def test_rotated_photo_gives_the_result_of_the_upright_one(mixed: tuple) -> None:
    _, output, _, _, _ = mixed
    boxes = {line["key"]: line["faces"][0]["box"] for line in lines(output) if line["key"].startswith("turned")}
    assert len(boxes) == 8
    for box in boxes.values():
        assert box == pytest.approx(boxes["turned1.jpg"], abs=12)  # pixels, for a box of 89 x 113


def test_lossless_formats_agree(mixed: tuple) -> None:
    _, output, _, _, _ = mixed
    seen = {line["key"]: line["faces"] for line in lines(output)}
    for name in ("plain.bmp", "plain.tif", "plain.ppm"):
        assert seen[name] == seen["plain.png"]
    assert seen["deep.png"][0]["probabilities"] == seen["grey.png"][0]["probabilities"]


def test_summary_counts_results_and_ignored_files(mixed: tuple) -> None:
    _, _, expected, _, said = mixed
    assert f"{len(expected)} photos:" in said
    assert f"{sum(faces for _, faces in expected.values())} faces:" in said
    assert "Skipped 2 files that are not images: 1 .mp4, 1 .txt." in said
    assert "Traceback" not in said


def test_only_photos_with_faces_get_annotated_copies(mixed: tuple) -> None:
    _, output, expected, _, _ = mixed
    copies = [f for f in (output / "annotated").rglob("*") if f.is_file()]
    assert len(copies) == sum(faces > 0 for _, faces in expected.values())
    assert (output / "annotated" / "sub" / "photos.jpg" / "inside.jpeg").is_file()


def test_second_start_repeats_nothing(mixed: tuple, run: Path, capsys: pytest.CaptureFixture) -> None:
    folder, output, expected, _, _ = mixed
    before = (output / "predictions.jsonl").read_bytes()
    assert predict(f"checkpoint={run}", f"source={folder}", f"output={output}", "annotate=true") == 0
    said = capsys.readouterr().out
    assert f"Already done: {len(expected)} of {len(expected)} photos." in said
    assert (output / "predictions.jsonl").read_bytes() == before


def test_python_interface_gives_the_same_results(mixed: tuple, model: Predictor) -> None:
    folder, output, _, _, _ = mixed
    names = ["plain.jpg", "two.png", "grey.png", "text.jpg"]
    by_key = {line["key"]: line for line in lines(output)}
    for item, name in zip(model.predict([folder / name for name in names]), names, strict=True):
        line = by_key[name]
        assert (item.status, item.path) == (line["status"], line["path"])
        for face, stored in zip(item.faces, line["faces"], strict=True):
            assert list(face.box) == stored["box"]
            for emotion in EMOTIONS:
                assert face.probabilities[emotion] == pytest.approx(stored["probabilities"][emotion], abs=1e-5)


@pytest.fixture
def photos(tmp_path: Path, portrait: np.ndarray) -> Path:
    folder = tmp_path / "my photos"
    for name in ("a.png", "b.png"):
        write(folder / name, portrait)
    (folder / "c.jpg").write_text("no picture")
    return folder


def test_only_new_or_changed_photos_are_processed(
    photos: Path, run: Path, tmp_path: Path, portrait: np.ndarray, capsys: pytest.CaptureFixture
) -> None:
    command = (f"checkpoint={run}", f"source={photos}", f"output={tmp_path / 'out'}")
    assert predict(*command) == 0
    write(photos / "late.png", portrait)
    write(photos / "b.png", np.full_like(portrait, 255))
    capsys.readouterr()
    assert predict(*command) == 0
    said = capsys.readouterr().out
    assert "Already done: 2 of 4 photos." in said
    assert "Changed since then, or retried: 1 photo." in said
    assert "2 processed" in said
    assert {line["key"]: line["status"] for line in lines(tmp_path / "out")} == {
        "a.png": "ok",
        "b.png": "no face",
        "c.jpg": "not an image",
        "late.png": "ok",
    }
    assert predict(*command, "retry=true") == 0
    assert "1 processed" in capsys.readouterr().out


def test_partial_line_of_a_killed_start_is_repeated(photos: Path, run: Path, tmp_path: Path) -> None:
    command = (f"checkpoint={run}", f"source={photos}", f"output={tmp_path / 'out'}")
    assert predict(*command) == 0
    whole = (tmp_path / "out" / "predictions.jsonl").read_bytes()
    (tmp_path / "out" / "predictions.jsonl").write_bytes(whole[:-30])
    assert predict(*command) == 0
    assert (tmp_path / "out" / "predictions.jsonl").read_bytes() == whole


def test_changed_checkpoint_is_detected_but_a_copy_is_not(
    photos: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    output = f"output={tmp_path / 'out'}"
    assert predict(f"checkpoint={run}", f"source={photos}", output) == 0
    (tmp_path / "copy.ckpt").write_bytes((run / "checkpoints" / "best.ckpt").read_bytes())
    assert predict(f"checkpoint={tmp_path / 'copy.ckpt'}", f"source={photos}", output) == 0
    other = save_run(tmp_path / "other", seed=1)
    assert predict(f"checkpoint={other}", f"source={photos}", output) == 2
    assert "contains predictions of another checkpoint" in capsys.readouterr().err
    assert predict(f"checkpoint={run}", f"source={photos}", output, "faces=largest") == 2
    assert "faces was all, now largest" in capsys.readouterr().err


def test_output_folder_may_be_inside_the_photo_folder(photos: Path, run: Path, capsys: pytest.CaptureFixture) -> None:
    command = (f"checkpoint={run}", f"source={photos}", "annotate=true")
    assert predict(*command, f"output={photos / 'out'}") == 0
    assert predict(*command, f"output={photos / 'out'}") == 0
    assert len(lines(photos / "out")) == 3
    assert predict(*command, f"output={photos}") == 2
    assert "the folder of the photos themselves" in capsys.readouterr().err


def test_idle_cores_detect_faces_for_a_gpu_if_there_are_many_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "available_cpus", lambda: 16)
    assert usual_workers("cuda:0", MANY) == 15
    assert usual_workers("cuda:0", MANY - 1) == usual_workers("cpu", 10_000) == 0


@pytest.mark.slow
def test_number_of_processes_does_not_change_the_output(photos: Path, run: Path, tmp_path: Path) -> None:
    for workers in (0, 2):
        command = (f"checkpoint={run}", f"source={photos}", f"output={tmp_path / str(workers)}")
        assert predict(*command, f"workers={workers}") == 0
    assert lines(tmp_path / "0") == lines(tmp_path / "2")


def test_patterns_with_spaces_single_photos_and_the_default_folder(
    photos: Path, run: Path, tmp_path: Path, mfer: Mfer
) -> None:
    assert mfer("predict", f"checkpoint={run}", f"source={photos}/*.png", f"output={tmp_path / 'pattern'}") == 0
    assert [line["key"] for line in lines(tmp_path / "pattern")] == ["a.png", "b.png"]
    assert mfer("predict", f"checkpoint={run}", f"source={photos}/a.png") == 0
    assert [line["key"] for line in lines(tmp_path / "predictions" / "a.png")] == ["a.png"]
    assert mfer("predict", f"checkpoint={run}", f"source={photos}/c.jpg") == 0, "not an image, but still one row"


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_limit_of_pixels_is_the_same_for_every_bit_depth(kind: type, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((10, 10), kind)).save(tmp_path / "a.tif")
    assert read_photo(tmp_path / "a.tif", most_pixels=100).status == "ok"
    assert read_photo(tmp_path / "a.tif", most_pixels=99).status == "too large"


def test_decompression_bomb_is_rejected_by_its_header(tmp_path: Path) -> None:
    bomb(tmp_path / "bomb.png")
    assert (tmp_path / "bomb.png").stat().st_size < 1e6
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))\n"
        "from pathlib import Path\nfrom mfer_lightning.inference.media.photos import read_photo\n"
        "picture = read_photo(Path(sys.argv[1]))\n"
        "assert picture.status == 'too large' and '2,500,000,000 pixels' in picture.message, picture\n"
        "assert read_photo(Path(sys.argv[1]), 10**12).status in ('too large', 'unreadable')"  # out of memory
    )
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "bomb.png")], check=True, env=environment)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("source={photos}", "checkpoint="), "checkpoint= has no value"),
        (("{photos}", "source={photos}", "checkpoint={run}"), "mfer predict takes one source, but 2 are given"),
        (("checkpoint={run}",), "`source` has no value"),
        (("checkpoint={run}", "source=nothing"), "no such file or folder"),
        (("checkpoint={run}", "source=nothing/*.jpg"), "no file matches"),
        (("checkpoint={run}", "source={empty}"), "empty contains no photos: it is empty."),
        (("checkpoint=nothing", "source={photos}"), "There is no nothing"),
        (("checkpoint={run}", "source={photos}", "faces=every"), "faces=every"),
        (("checkpoint={run}", "source={photos}", "batch_size=0"), "at least 1"),
        (("checkpoint={run}", "source={photos}", "video.fps=0"), "above 0"),
        (("checkpoint={run}", "source={photos}", "video.smooth=-1"), "at least 0"),
        (("checkpoint={run}", "source={photos}", "detector.name=mtcn"), "did you mean 'mtcnn'"),
        (("checkpoint={run}", "source={photos}", "detector.min_scor=1"), "min_scor"),
        (("checkpoint={run}", "source={photos}", "anotate=true"), "Did you mean 'annotate'"),
        (("checkpoint={run}", "source={photos}", "device=gpu7"), "device=gpu7"),
    ],
)
def test_invalid_arguments_raise_one_clear_error_and_leave_no_files(
    arguments: tuple[str, ...], words: str, photos: Path, run: Path, mfer: Mfer, capsys: pytest.CaptureFixture
) -> None:
    empty = photos.parent / "empty"
    empty.mkdir()
    assert mfer("predict", *(a.format(photos=photos, run=run, empty=empty) for a in arguments)) == 2
    assert words in capsys.readouterr().err
    assert sorted(f.name for f in photos.parent.iterdir()) == ["empty", "my photos"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda good: b"{}\n",
        lambda good: good.replace(b".png", b"\xff\xfe.g", 1),
        lambda good: good.replace(b'"faces": [', b'"faces": 3, "more": [', 1),
        lambda good: good.replace(b'"probabilities"', b'"nothing"', 1),
        lambda good: good.replace(b'"probabilities": {', b'"probabilities": {"boredom": 0.1, ', 1),
        lambda good: good.replace(b'"key": "a"', b'"key": ["a"]', 1),
        lambda good: b"\0" * 4096 + b"\n" + good,
        lambda good: good.replace(b'"status": "ok"', b'"status": 5', 1),
    ],
)
def test_damaged_journal_is_named(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    journal = Journal(tmp_path, {}, ("fear", "anger"))
    face = Face(0, {"fear": 0.75, "anger": 0.25}, box=(1, 2, 3, 4))
    journal.append("a", Prediction("a.png", (face,)))
    with journal:
        pass
    good = (tmp_path / "predictions.jsonl").read_bytes()
    (tmp_path / "predictions.jsonl").write_bytes(damage(good))
    assert (tmp_path / "predictions.jsonl").read_bytes() != good
    with pytest.raises(UserError, match="line 1, is damaged"):
        Journal(tmp_path, {}, ("fear", "anger")).done()


def test_unsafe_file_names_are_escaped_in_tables_and_terminal(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    picture = Image.fromarray(np.full((48, 48, 3), 128, np.uint8))
    for name in ("=cmd|' '!A1.png", "@SUM(1).png", "two\nlines.png", "x" * 251 + ".png", "y" * 247 + ".png"):
        picture.save(folder / name)
    (folder / "no\x1b[2J.jpg").write_text("no picture")
    for name in (b"a.\x1b[2J", b"b.\xff"):
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_text("x")
    (tmp_path / "elsewhere").mkdir()
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    monkeypatch.chdir(folder)
    assert predict(f"checkpoint={run}", "source=.", f"output={tmp_path / 'out'}", "aligned=true", "annotate=true") == 0
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert r"no\x1b[2J.jpg" in said
    assert r"1 .\udcff" in said
    assert "1 symbolic link to a folder" in said
    found = rows(tmp_path / "out")
    assert len(found) == 6
    assert all(Path(row["path"]).is_file() for row in found)
    assert not [cell for row in found for cell in row.values() if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    copies = [f.name for f in (tmp_path / "out" / "annotated").iterdir()]
    assert len(copies) == 5
    assert all(name.endswith(".jpg") for name in copies)


@pytest.mark.parametrize("output", ["photos/a.png", "photos/a.png/x", "/dev/null"])
def test_output_folder_that_cannot_be_created_raises_one_clear_error(
    output: str, run: Path, mfer: Mfer, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "photos").mkdir()
    Image.fromarray(np.zeros((48, 48, 3), np.uint8)).save(tmp_path / "photos" / "a.png")
    assert mfer("predict", f"checkpoint={run}", "source=photos", f"output={output}", "aligned=true") == 2
    assert "Cannot create the folder" in capsys.readouterr().err


def test_aligned_faces_need_no_detector(photos: Path, run: Path, tmp_path: Path) -> None:
    assert predict(f"checkpoint={run}", f"source={photos}", f"output={tmp_path / 'out'}", "aligned=true") == 0
    found = lines(tmp_path / "out")
    assert [line["status"] for line in found] == ["ok", "ok", "not an image"]
    assert found[0]["faces"][0]["box"] is None
    (face,) = load_model(run, "cpu").predict(photos / "a.png", aligned=True).faces
    assert face.probabilities == pytest.approx(found[0]["faces"][0]["probabilities"], abs=1e-5)
