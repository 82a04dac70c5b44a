"""Valence and arousal of the synthetic faces, computed from action units and checked against the circumplex model."""

from __future__ import annotations

import numpy as np
import pytest

from mfer_lightning.data.facs import FacsGenerator
from mfer_lightning.data.facs.action_units import AU_INDEX
from mfer_lightning.data.facs.affect import WEIGHTS, valence_arousal
from mfer_lightning.emotions import EMOTIONS


def test_every_action_unit_has_weights():
    assert {f"AU{unit}" for unit in WEIGHTS} == set(AU_INDEX)


def test_neutral_face_has_zero_valence_and_arousal():
    assert valence_arousal(np.zeros((3, 2, len(AU_INDEX)))).tolist() == [[0.0, 0.0]] * 3


def test_both_halves_of_the_face_count_equally():
    units = np.zeros((2, 2, len(AU_INDEX)))
    units[0, 0, AU_INDEX["AU14"]] = units[1, 1, AU_INDEX["AU14"]] = 1
    left, right = valence_arousal(units)
    assert left.tolist() == right.tolist() == pytest.approx(np.tanh([-0.45, 0.05]).tolist())


def test_emotions_are_placed_as_in_the_circumplex_model():
    """Only coarse bounds are checked, since the weights are ours."""
    labels = FacsGenerator(seed=1, difficulty=0.3, ambiguity=0.0).labels("train", 400)
    means = {
        name: (labels.valence[labels.label == k].mean(), labels.arousal[labels.label == k].mean())
        for k, name in enumerate(EMOTIONS)
    }
    assert means["happiness"][0] > 0.5
    assert all(means[name][0] < -0.15 for name in ("sadness", "fear", "disgust", "anger", "contempt"))
    assert all(means[name][1] > 0.3 for name in ("surprise", "fear", "anger"))
    assert means["sadness"][1] < 0
    assert max(map(abs, means["neutral"])) < 0.1


def test_labels_match_the_rendered_faces_and_are_in_range():
    faces = FacsGenerator(size=24, seed=2, difficulty=1.0, ambiguity=0.5)
    labels = faces.labels("val", 6)
    assert labels.valence.dtype == labels.arousal.dtype == np.float32
    for i in range(6):
        known = faces.sample("val", i).attributes
        assert (known["valence"], known["arousal"]) == (labels.valence[i], labels.arousal[i])
        assert -1 <= known["valence"] <= 1
        assert -1 <= known["arousal"] <= 1
