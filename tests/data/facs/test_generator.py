"""The synthetic dataset is reproducible, with disjoint people, correct labels, and independent options."""

from __future__ import annotations

import hashlib
import os
import pickle
import subprocess
import sys
import time

import numpy as np
import pytest
from class_orders import CLASS_ORDERS

from mfer_lightning.data.facs import FacsGenerator
from mfer_lightning.data.index import PARTITIONS


@pytest.fixture(scope="module")
def faces() -> FacsGenerator:
    return FacsGenerator(size=48, seed=7)


def digest(generator: FacsGenerator, partition: str, i: int) -> str:
    sample = generator.sample(partition, i)
    content = (sample.label, sample.votes.tolist(), sample.target.tolist(), sample.intensities, sample.identity)
    return hashlib.sha256(sample.image.tobytes() + repr((content, sample.attributes)).encode()).hexdigest()


def test_image_is_rgb_uint8_of_the_requested_size_and_not_empty(faces):
    for partition in PARTITIONS:
        for i in range(16):
            image = faces.image(partition, i)
            assert image.shape == (48, 48, 3)
            assert image.dtype == np.uint8
            assert image.std() > 8


@pytest.mark.parametrize("size", [24, 33, 64, 112, 224])
def test_every_size_shows_the_same_face(size):
    import cv2

    small = FacsGenerator(size=48, seed=3, difficulty=0.0).image("train", 1)
    other = FacsGenerator(size=size, seed=3, difficulty=0.0).image("train", 1)
    assert other.shape == (size, size, 3)
    shrunk = (cv2.resize(image, (24, 24), interpolation=cv2.INTER_AREA).ravel() for image in (small, other))
    assert np.corrcoef(*shrunk)[0, 1] > 0.95


def test_faces_do_not_depend_on_the_order_of_access(faces):
    forwards = [digest(faces, "train", i) for i in range(6)]
    again = FacsGenerator(size=48, seed=7)
    backwards = [digest(again, "train", i) for i in reversed(range(6))][::-1]
    assert forwards == backwards
    assert len(set(forwards)) == 6


def test_image_sample_and_labels_agree(faces):
    table = faces.labels("test", 40)
    assert len(table) == 40
    for i in range(40):
        sample = faces.sample("test", i)
        np.testing.assert_array_equal(sample.image, faces.image("test", i))
        assert sample.label == table.label[i] == faces.label("test", i)
        assert sample.identity == table.identity[i]
        np.testing.assert_array_equal(sample.votes, table.votes[i])
        np.testing.assert_array_equal(sample.target, table.target[i])
        for name in ("skin", "age", "occluded", "ambiguous"):
            assert sample.attributes[name] == getattr(table, name)[i]


def test_faces_do_not_depend_on_process_or_hash_seed(faces):
    program = (
        "import hashlib; from mfer_lightning.data.facs import FacsGenerator as G; g = G(size=48, seed=7);"
        "print(hashlib.sha256(b''.join(g.image(p, i).tobytes() for p in ('train', 'val') for i in (9, 2))).hexdigest())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "123"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    here = b"".join(faces.image(p, i).tobytes() for p in ("train", "val") for i in (9, 2))
    assert done.stdout.strip() == hashlib.sha256(here).hexdigest()


def test_pickled_generator_renders_the_same_faces(faces):
    copy = pickle.loads(pickle.dumps(faces))
    np.testing.assert_array_equal(copy.image("val", 3), faces.image("val", 3))
    sample = pickle.loads(pickle.dumps(faces.sample("val", 3)))
    assert sample.intensities == faces.sample("val", 3).intensities


def test_seeds_and_partitions_differ(faces):
    other = FacsGenerator(size=48, seed=8)
    assert (faces.image("train", 0) != other.image("train", 0)).mean() > 0.5
    assert (faces.image("train", 0) != faces.image("test", 0)).mean() > 0.5


def test_partitions_share_no_people_and_people_differ(faces):
    people = [set(faces.labels(partition, 400).identity.tolist()) for partition in PARTITIONS]
    assert all(len(group) == 50 for group in people)
    assert len(people[0] | people[1] | people[2]) == 150


def test_person_keeps_skin_age_and_hair_across_images(faces):
    samples = [faces.sample("train", i) for i in range(16)]
    for first, last in ((0, 8), (8, 16)):
        seen = {
            (s.identity, *(s.attributes[k] for k in ("skin", "age", "hair", "glasses", "beard")))
            for s in samples[first:last]
        }
        assert len(seen) == 1


def test_classes_are_balanced_and_every_person_shows_every_emotion(faces):
    table = faces.labels("test", 400)
    assert np.bincount(table.label, minlength=8).tolist() == [50] * 8
    for person in np.unique(table.identity):
        assert sorted(table.label[table.identity == person]) == list(range(8))


def test_labels_are_shuffled(faces):
    labels = faces.labels("train", 800).label.reshape(-1, 8)
    assert len({tuple(row) for row in labels.tolist()}) > 4


@pytest.mark.parametrize("imbalance", [1.0, 10.0, 50.0])
def test_imbalance_is_the_ratio_of_the_extreme_classes_only_in_training(imbalance):
    faces = FacsGenerator(imbalance=imbalance, seed=1)
    counts = np.bincount(faces.labels("train", 4000).label, minlength=8)
    assert (np.diff(counts) <= 0).all()
    assert counts[0] / counts[-1] == pytest.approx(imbalance, rel=0.12)
    assert np.bincount(faces.labels("test", 80).label, minlength=8).tolist() == [10] * 8


@pytest.mark.parametrize("annotators", [1, 10, 25])
def test_votes_sum_to_annotators_and_targets_to_one(annotators):
    table = FacsGenerator(annotators=annotators, ambiguity=0.5).labels("train", 500)
    assert (table.votes.sum(axis=1) == annotators).all()
    np.testing.assert_allclose(table.target.sum(axis=1), 1.0, rtol=1e-6)
    np.testing.assert_array_equal(table.label, table.target.argmax(axis=1))
    assert (table.votes[table.target == 0] == 0).all()


def test_votes_follow_the_target():
    table = FacsGenerator(annotators=400, ambiguity=1.0).labels("train", 300)
    spread = table.votes / 400 - table.target
    expected = np.sqrt(table.target * (1 - table.target) / 400)
    seen = table.target > 0
    assert (spread[seen] / expected[seen]).std() == pytest.approx(1.0, abs=0.12)  # binomial, neither more nor less


def entropy(target: np.ndarray) -> float:
    return float(-(target * np.log(np.where(target > 0, target, 1))).sum(axis=1).mean())


def test_ambiguity_is_the_fraction_of_blends_and_raises_entropy():
    entropies = []
    for ambiguity in (0.0, 0.25, 0.75, 1.0):
        table = FacsGenerator(ambiguity=ambiguity).labels("train", 1000)
        assert ((table.target > 0).sum(axis=1) == 1 + table.ambiguous).all()
        assert table.ambiguous.mean() == pytest.approx(ambiguity, abs=0.04)
        assert table.target.max(axis=1).min() >= 0.6 - 1e-6
        entropies.append(entropy(table.target))
    assert entropies[0] == 0.0
    assert entropies == sorted(entropies)
    assert entropies[-1] > 0.4


def test_occlusion_is_the_fraction_of_covered_faces():
    for occlusion in (0.0, 0.3, 1.0):
        table = FacsGenerator(occlusion=occlusion).labels("train", 1000)
        assert table.occluded.mean() == pytest.approx(occlusion, abs=0.04)


def test_occluder_changes_only_the_image():
    free, covered = FacsGenerator(occlusion=0.0, seed=5), FacsGenerator(occlusion=1.0, seed=5)
    kinds = set()
    for i in range(40):
        a, b = free.sample("train", i), covered.sample("train", i)
        assert (a.label, a.identity, a.votes.tolist()) == (b.label, b.identity, b.votes.tolist())
        assert a.intensities == b.intensities
        assert a.attributes["occluder"] == "none"
        kinds.add(b.attributes["occluder"])
    assert kinds == {"mask", "scarf", "hand", "hair", "box", "sunglasses"}


def test_annotators_option_changes_only_the_votes():
    few, many = FacsGenerator(annotators=3), FacsGenerator(annotators=90)
    for i in range(10):
        np.testing.assert_array_equal(few.image("train", i), many.image("train", i))


def test_difficulty_widens_poses_and_weakens_expressions():
    yaw, smile = [], []
    for difficulty in (0.0, 0.5, 1.0):
        faces = FacsGenerator(size=24, difficulty=difficulty, ambiguity=0.0)
        samples = [faces.sample("train", i) for i in range(160)]
        yaw.append(max(abs(s.attributes["yaw"]) for s in samples))
        happy = CLASS_ORDERS["facs"].index("happiness")
        smile.append(np.mean([s.intensities["AU12"] for s in samples if s.label == happy]))
    assert yaw == sorted(yaw)
    assert yaw[0] < 7 < 25 < yaw[2] <= 30
    assert smile == sorted(smile, reverse=True)
    assert smile[2] < 0.85 * smile[0]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"size": 8}, "`size` to be a whole number within [24, 512], but got 8"),
        ({"size": 64.0}, "`size`"),
        ({"seed": -1}, "`seed`"),
        ({"difficulty": 1.5}, "`difficulty` to be within [0, 1], but got 1.5"),
        ({"difficulty": float("nan")}, "`difficulty`"),
        ({"ambiguity": -0.1}, "`ambiguity`"),
        ({"occlusion": 2}, "`occlusion`"),
        ({"annotators": 0}, "`annotators`"),
        ({"faces_per_identity": True}, "`faces_per_identity`"),
        ({"imbalance": 0.5}, "`imbalance`"),
    ],
)
def test_invalid_arguments_raise_value_error(arguments, says):
    with pytest.raises(ValueError, match="Expected argument") as caught:
        FacsGenerator(**arguments)
    assert says in str(caught.value)


def test_invalid_partition_or_index_raises_value_error(faces):
    with pytest.raises(ValueError, match=r"`partition` to be one of .'train', 'val', 'test'., but got 'valid'"):
        faces.image("valid", 0)
    with pytest.raises(ValueError, match="`i`"):
        faces.sample("train", -1)
    with pytest.raises(ValueError, match="`n`"):
        faces.labels("train", -5)


def test_zero_faces_give_empty_columns_of_the_right_shape(faces):
    table = faces.labels("val", 0)
    assert (table.label.shape, table.votes.shape, table.target.shape) == ((0,), (0, 8), (0, 8))


def test_rendering_a_face_takes_milliseconds(faces):
    start = time.process_time()
    for i in range(100):
        faces.image("train", i)
    assert (time.process_time() - start) / 100 < 0.02
