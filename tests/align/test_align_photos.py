"""Folders of photos: each photo is in the report, and a second run processes only the rest."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from align.conftest import photo

from mfer_lightning.align.align_photos import align_photos
from mfer_lightning.align.photo_list import list_photos
from mfer_lightning.align.report_file import Report
from mfer_lightning.cli import main
from mfer_lightning.errors import UserError

pytestmark = pytest.mark.usefixtures("squares")


def write(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image[:, :, ::-1])


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    write(folder / "one.png", photo((30, 20, 80)))
    write(folder / "sub" / "two.png", photo((5, 10, 40), (210, 10, 80)))
    write(folder / "none.png", photo())
    (folder / "text.jpg").write_text("not a picture")
    (folder / "empty.png").touch()
    (folder / "notes.txt").write_text("ignored")
    return folder


def align(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["align", "detector.name=squares", "refine=0", *map(str, arguments)])
    return int(stop.value.code or 0)


def rows(output: Path) -> list[dict[str, str]]:
    with (output / "report.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_photo_is_reported_and_faces_are_named_like_the_datasets(photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert align(f"source={photos}", f"output={output}", "format=png") == 0
    found = {row["photo"]: row for row in rows(output)}
    assert {name: row["status"] for name, row in found.items()} == {
        "one.png": "aligned",
        "sub/two.png": "aligned",
        "none.png": "no face",
        "text.jpg": "unreadable",
        "empty.png": "unreadable",
    }
    assert found["sub/two.png"]["output"] == "sub/two_aligned.png"
    assert (found["sub/two.png"]["faces"], found["sub/two.png"]["x"]) == ("2", "210.0")
    assert "0 bytes" in found["empty.png"]["message"]
    face = cv2.imread(str(output / "one_aligned.png"))
    assert face.shape == (112, 112, 3)
    assert face[56, 90, 2] > 150  # OpenCV reads BGR


def test_second_start_processes_only_the_rest(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    output = tmp_path / "out"
    assert align(f"source={photos}", f"output={output}") == 0
    stamp = (output / "one_aligned.jpg").stat().st_mtime_ns
    write(photos / "late.png", photo((30, 20, 80)))
    assert align(f"source={photos}", f"output={output}") == 0
    assert "Already done: 5 of 6 photos." in capsys.readouterr().out
    assert (output / "one_aligned.jpg").stat().st_mtime_ns == stamp
    assert len(rows(output)) == 6


def test_partial_row_of_a_killed_start_is_repeated(photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert align(f"source={photos}", f"output={output}") == 0
    whole = rows(output)
    content = (output / "report.csv").read_text()
    (output / "report.csv").write_text(content[: len(content) - 9])  # cut within the last row
    (output / f"{whole[-1]['output'] or 'x'}").unlink(missing_ok=True)
    assert align(f"source={photos}", f"output={output}") == 0
    assert sorted(r["photo"] for r in rows(output)) == sorted(r["photo"] for r in whole)
    assert all((output / r["output"]).is_file() for r in rows(output) if r["output"])


def test_retry_repeats_failed_photos(photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert align(f"source={photos}", f"output={output}") == 0
    write(photos / "none.png", photo((30, 20, 80)))
    assert align(f"source={photos}", f"output={output}", "retry=true") == 0
    found = {row["photo"]: row["status"] for row in rows(output)}
    assert found["none.png"] == "aligned"
    assert len(rows(output)) == 5


def test_different_settings_in_the_same_folder_are_rejected(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    output = tmp_path / "out"
    assert align(f"source={photos}", f"output={output}") == 0
    assert align(f"source={photos}", f"output={output}", "size=64") == 2
    assert "width was 112, now 64" in capsys.readouterr().err
    assert json.loads((output / "alignment.json").read_text())["template"] == "face-evolve-112@1"


def test_policies_for_several_faces_and_for_none(photos: Path, tmp_path: Path) -> None:
    assert align(f"source={photos}", f"output={tmp_path / 'all'}", "faces=all") == 0
    assert (tmp_path / "all" / "sub" / "two_2_aligned.jpg").is_file()
    assert align(f"source={photos}", f"output={tmp_path / 'skip'}", "faces=skip", "no_face=centre") == 0
    found = {row["photo"]: row["status"] for row in rows(tmp_path / "skip")}
    assert found["sub/two.png"] == "several faces"
    assert found["none.png"] == "centre crop"
    assert cv2.imread(str(tmp_path / "skip" / "none_aligned.jpg")).shape == (112, 112, 3)


def test_photos_without_any_face_exit_with_code_1(tmp_path: Path) -> None:
    write(tmp_path / "photos" / "none.png", photo())
    assert align(f"source={tmp_path / 'photos'}", f"output={tmp_path / 'out'}") == 1


def test_centre_crops_count_as_written_images(tmp_path: Path) -> None:
    write(tmp_path / "photos" / "none.png", photo())
    assert align(f"source={tmp_path / 'photos'}", f"output={tmp_path / 'out'}", "no_face=centre") == 0


def test_pattern_single_file_and_output_inside_the_source(photos: Path, tmp_path: Path) -> None:
    assert [p.name for p in list_photos(photos / "*.png", tmp_path / "o")] == ["empty.png", "none.png", "one.png"]
    assert [p.target for p in list_photos(photos / "one.png", tmp_path / "o")] == ["one_aligned"]
    assert align(f"source={photos}", f"output={photos / 'aligned'}") == 0
    assert align(f"source={photos}", f"output={photos / 'aligned'}") == 0
    assert len(rows(photos / "aligned")) == 5


def test_photos_that_differ_only_in_suffix_do_not_overwrite_each_other(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg", "b.png"):
        write(tmp_path / name, photo((30, 20, 80)))
    assert [p.target for p in list_photos(tmp_path, tmp_path / "o")] == ["a_jpg_aligned", "a_png_aligned", "b_aligned"]


def test_full_disk_raises_one_clear_error_and_leaves_no_partial_face(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    assert align(f"source={photos}", f"output={tmp_path / 'out'}") == 2
    assert "No space left on device" in capsys.readouterr().err
    assert not list((tmp_path / "out").rglob("*aligned*"))
    assert not list((tmp_path / "out").rglob(".*"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("output=x",), "`source` has no value"),
        (("source=nothing", "output=x"), "there is no such file or folder"),
        (("source={photos}", "output={photos}"), "the folder of the photos themselves"),
        (("source={photos}/sub/../../empty", "output=x"), "there is no such"),
        (("source={photos}", "output=x", "faces=every"), "faces=every"),
        (("source={photos}", "output=x", "no_face=crop"), "no_face=crop"),
        (("source={photos}", "output=x", "format=gif"), "format=gif"),
        (("source={photos}", "output=x", "quality=0"), "from 1 to 100"),
        (("source={photos}", "output=x", "size=2"), "at least 8 pixels"),
        (("source={photos}", "output=x", "template=evolve"), "did you mean"),
        (("source={photos}", "output=x", "detector.name=mtcn"), "did you mean 'mtcnn'"),
        (("source={photos}", "output=x", "workers=-1"), "at least 0"),
        (("source={photos}", "output=x", "size=big"), "a whole number"),
    ],
)
def test_invalid_arguments_raise_one_clear_error_and_leave_no_files(
    arguments: tuple[str, ...],
    words: str,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert align(*(a.format(photos=photos) for a in arguments)) == 2
    assert words in capsys.readouterr().err
    assert sorted(f.name for f in tmp_path.iterdir()) == ["photos"]


def test_number_of_processes_does_not_change_the_output(photos: Path, tmp_path: Path) -> None:
    settings = {
        "detector": {"name": "mtcnn"},
        "template": "face-evolve-112",
        "size": None,
        "margin": 0.0,
        "refine": 0,
        "border": "black",
        "faces": "largest",
        "no_face": "centre",
        "second_look": False,
        "format": "png",
        "quality": 95,
    }
    todo = list_photos(photos, tmp_path / "one")
    alone = list(align_photos(todo, settings, tmp_path / "one", 0))
    assert list(align_photos(todo, settings, tmp_path / "two", 2)) == alone
    for row in (r for rows_ in alone for r in rows_ if r.get("output")):
        assert (tmp_path / "one" / row["output"]).read_bytes() == (tmp_path / "two" / row["output"]).read_bytes()


def test_damaged_settings_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "alignment.json").write_text("{")
    with pytest.raises(UserError, match="is damaged"):
        Report(tmp_path, {})
