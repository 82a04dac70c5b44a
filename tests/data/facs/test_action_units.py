"""Emotions are distributions over action units."""

from __future__ import annotations

import numpy as np
import pytest
from class_orders import CLASS_ORDERS

from mfer_lightning.data.facs.action_units import ACTION_UNITS, AU_INDEX, PARTNERS, PROTOTYPES, activation, as_mapping
from mfer_lightning.data.facs.random_stream import Stream

CLASSES = CLASS_ORDERS["facs"]


def draw(emotion: str, place: int = 0, subtlety: float = 0.0) -> np.ndarray:
    weights = [float(name == emotion) for name in CLASSES]
    return activation(Stream(0, 99, place), weights, subtlety)


def test_every_emotion_has_variants_whose_frequencies_sum_to_one():
    assert set(PROTOTYPES) == set(CLASSES)
    for variants in PROTOTYPES.values():
        assert sum(often for often, _ in variants) == pytest.approx(1.0)
        for _, units in variants:
            assert {f"AU{unit}" for unit in units} <= set(ACTION_UNITS)


def test_blend_partners_are_other_emotions():
    for emotion, partners in PARTNERS.items():
        assert set(partners) < set(CLASSES) - {emotion}
        assert sum(partners.values()) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("emotion", "core"),
    [  # the core units of EMFACS
        ("happiness", {"AU6", "AU12"}),
        ("sadness", {"AU1", "AU4", "AU15"}),
        ("surprise", {"AU1", "AU2", "AU5"}),
        ("fear", {"AU1", "AU2", "AU4", "AU5", "AU20"}),
        ("disgust", {"AU9"}),
        ("anger", {"AU4", "AU5", "AU7"}),
    ],
)
def test_core_units_of_an_emotion_are_always_active(emotion, core):
    for place in range(40):
        units = draw(emotion, place)
        for unit in core:
            assert units[:, AU_INDEX[unit]].min() > 0.35, (emotion, unit)


def test_neutral_is_motionless_without_subtlety_and_almost_motionless_with_it():
    assert draw("neutral").max() == 0.0
    assert max(draw("neutral", place, subtlety=1.0).max() for place in range(200)) < 0.6


def test_contempt_is_unilateral_on_either_side():
    dimplers = np.array([draw("contempt", place)[:, AU_INDEX["AU14"]] for place in range(200)])
    assert (dimplers.max(axis=1) > 0.6).all()
    assert (dimplers.min(axis=1) < 0.15 * dimplers.max(axis=1)).all()
    assert 0.35 < (dimplers[:, 0] > dimplers[:, 1]).mean() < 0.65


def test_variants_occur_at_their_stated_frequency():
    mouths = [draw("disgust", place)[0, AU_INDEX["AU16"]] > 0 for place in range(1000)]
    assert np.mean(mouths) == pytest.approx(PROTOTYPES["disgust"][2][0], abs=0.05)


def test_subtlety_weakens_expressions():
    smiles = {s: np.mean([draw("happiness", p, s)[0, AU_INDEX["AU12"]] for p in range(300)]) for s in (0.0, 0.5, 1.0)}
    assert smiles[0.0] > smiles[0.5] + 0.05 > smiles[1.0] + 0.1


def test_blend_shows_both_emotions_with_more_of_the_stronger_one():
    weights = [0.7 * (name == "fear") + 0.3 * (name == "happiness") for name in CLASSES]
    units = activation(Stream(0, 99, 0), weights, 0.0).mean(axis=0)
    assert 0.2 < units[AU_INDEX["AU12"]] < units[AU_INDEX["AU20"]]


@pytest.mark.parametrize("subtlety", [0.0, 0.5, 1.0])
def test_intensities_are_between_zero_and_one(subtlety):
    for emotion in CLASSES:
        for place in range(50):
            units = draw(emotion, place, subtlety)
            assert units.shape == (2, len(ACTION_UNITS))
            assert units.min() >= 0.0
            assert units.max() <= 1.0


def test_mapping_names_every_unit_and_both_sides_of_the_dimpler():
    named = as_mapping(draw("contempt"))
    assert set(named) == (set(ACTION_UNITS) - {"AU14"}) | {"AU14R", "AU14L"}
    assert max(named["AU14R"], named["AU14L"]) > 0.6 > 0.15 > min(named["AU14R"], named["AU14L"])
