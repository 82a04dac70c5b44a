"""Generator of synthetic faces: determines the i-th face and draws it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfer_lightning.data.facs.action_units import ACTION_UNITS, PARTNERS, activation, as_mapping
from mfer_lightning.data.facs.affect import valence_arousal
from mfer_lightning.data.facs.average_face import FloatArray
from mfer_lightning.data.facs.canvas import Image
from mfer_lightning.data.facs.conditions import Conditions, sample_conditions
from mfer_lightning.data.facs.ground_truth import FacsLabels, FacsSample
from mfer_lightning.data.facs.identity import Identity, demographics, sample_identity
from mfer_lightning.data.facs.random_stream import Stream, generator
from mfer_lightning.data.facs.render import render
from mfer_lightning.data.index import PARTITIONS
from mfer_lightning.emotions import EMOTIONS

_GOLDEN = 0.6180339887498949
# Purposes of random streams. The numbers are part of the dataset: changing one changes every face.
_PLAN, _PERSON, _EXPRESSION, _CONDITIONS, _DETAILS, _ORDER = range(1, 7)


@dataclass(kw_only=True, eq=False)
class FacsGenerator:
    """An endless, reproducible source of synthetic faces that express emotions through action units.

    Face i of a partition is a pure function of the arguments below, the partition and i: it is the same in every
    process and independent of earlier calls.

    Args:
        size: side of the images in pixels, 24 to 512.
        seed: random seed of the whole dataset, 0 or more.
        difficulty: in [0, 1]. Widens the ranges of pose, position, scale, light, contrast, blur and noise, weakens
            expressions (to half their intensity at 1), adds asymmetry and incidental movements, and enlarges occluders.
        ambiguity: in [0, 1], fraction of faces that mix two emotions, the dominant one with a weight of 0.6 to 0.9.
        occlusion: in [0, 1], fraction of faces partly occluded by a mask, scarf, hand, hair, box or sunglasses.
        annotators: votes per face, 1 or more.
        faces_per_identity: images per person, 1 or more.
        imbalance: ratio of the most to the least frequent class in the training partition, 1 or more; frequencies
            decrease geometrically in the order of ``EMOTIONS``. Other partitions stay balanced.

    Raises:
        ValueError: if an argument is outside its range.

    Example:
        >>> faces = FacsGenerator(size=64, seed=1)
        >>> sample = faces.sample("train", 5)
        >>> sample.image.shape, bool((sample.image == faces.image("train", 5)).all())
        ((64, 64, 3), True)
        >>> int(sample.votes.sum()), round(float(sample.target.sum()), 3)
        (10, 1.0)
    """

    size: int = 64
    seed: int = 0
    difficulty: float = 0.5
    ambiguity: float = 0.1
    occlusion: float = 0.03
    annotators: int = 10
    faces_per_identity: int = 8
    imbalance: float = 1.0

    def __post_init__(self) -> None:
        _check_whole("size", self.size, 24, 512)
        _check_whole("seed", self.seed, 0, 2**63 - 1)
        _check_whole("annotators", self.annotators, 1, 10_000)
        _check_whole("faces_per_identity", self.faces_per_identity, 1, 1_000_000)
        for name in ("difficulty", "ambiguity", "occlusion"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"Expected argument `{name}` to be within [0, 1], but got {getattr(self, name)}.")
        if not 1.0 <= self.imbalance <= 1e6:
            raise ValueError(f"Expected argument `imbalance` to be within [1, 1000000], but got {self.imbalance}.")
        falling = self.imbalance ** (-np.arange(len(EMOTIONS)) / (len(EMOTIONS) - 1))
        self._cumulative = {
            part: np.cumsum(shares / shares.sum())[:-1].tolist()
            for part, shares in zip(PARTITIONS, (falling, np.ones(8), np.ones(8)), strict=True)
        }
        self._offset = [generator(self.seed, _ORDER, code).random() for code in range(len(PARTITIONS))]

    def sample(self, partition: str, i: int) -> FacsSample:
        """Return face i of a partition with its complete ground truth.

        Args:
            partition: ``"train"``, ``"val"`` or ``"test"``.
            i: number of the face, 0 or more.

        Returns:
            The sample.

        Raises:
            ValueError: if the partition is unknown or i is negative.
        """
        plan = self._plan(partition, i)
        person, units, conditions = self._compose(plan)
        pose = conditions.pose
        valence, arousal = map(float, valence_arousal(units))
        return FacsSample(
            image=self._draw(plan, person, units, conditions),
            label=plan.label,
            target=np.array(plan.target, dtype=np.float32),
            votes=np.array(plan.votes, dtype=np.int64),
            intensities=as_mapping(units),
            identity=plan.identity,
            attributes={
                "skin": person.skin,
                "age": person.age,
                "occluded": plan.occluded,
                "occluder": conditions.occluder or "none",
                "ambiguous": plan.ambiguous,
                "yaw": pose.yaw,
                "pitch": pose.pitch,
                "roll": pose.roll,
                "glasses": person.glasses,
                "beard": person.beard,
                "hair": person.style,
                "valence": valence,
                "arousal": arousal,
            },
        )

    def image(self, partition: str, i: int) -> Image:
        """Draw face i of a partition: (size, size, 3) uint8, RGB. Arguments and errors as in :meth:`sample`."""
        plan = self._plan(partition, i)
        return self._draw(plan, *self._compose(plan))

    def label(self, partition: str, i: int) -> int:
        """Return the label of face i of a partition without drawing it. Arguments and errors as in :meth:`sample`."""
        return self._plan(partition, i).label

    def labels(self, partition: str, n: int) -> FacsLabels:
        """Return the ground truth of the first n faces of a partition without drawing them.

        Args:
            partition: as in :meth:`sample`.
            n: number of faces, 0 or more.

        Returns:
            The columns, equal to the result of :meth:`sample` for each face.

        Raises:
            ValueError: if the partition is unknown or n is negative.
        """
        _check_whole("n", n, 0, 2**40)
        plans = [self._plan(partition, i) for i in range(n)]
        people: dict[int, tuple[int, int]] = {}
        for plan in plans:
            if plan.identity not in people:
                people[plan.identity] = demographics(Stream(self.seed, _PERSON, plan.identity))
        skin_age = np.array([people[plan.identity] for plan in plans], dtype=np.int64).reshape(n, 2)
        types: dict[str, type] = {"target": np.float32, "occluded": np.bool_, "ambiguous": np.bool_}
        columns: dict[str, NDArray[Any]] = {
            name: np.array([getattr(plan, name) for plan in plans], dtype=types.get(name, np.int64))
            for name in ("label", "target", "votes", "identity", "occluded", "ambiguous")
        }
        for name in ("target", "votes"):
            columns[name] = columns[name].reshape(n, len(EMOTIONS))
        units = np.array([self._units(plan) for plan in plans]).reshape(n, 2, len(ACTION_UNITS))
        columns |= dict(zip(("valence", "arousal"), valence_arousal(units).T, strict=True))
        return FacsLabels(skin=skin_age[:, 0], age=skin_age[:, 1], **columns)

    def _plan(self, partition: str, i: int) -> _Plan:
        if partition not in PARTITIONS:
            raise ValueError(f"Expected argument `partition` to be one of {PARTITIONS}, but got {partition!r}.")
        _check_whole("i", i, 0, 2**40)
        code = PARTITIONS.index(partition)
        # Every eight consecutive faces contain one from each eighth of the class range, so balanced classes are exact.
        shuffled = (i * 5 + i // 8 * 3) % 8
        place = (shuffled + (self._offset[code] + i // 8 * _GOLDEN) % 1.0) / 8
        label = sum(place >= edge for edge in self._cumulative[partition])
        number = i * len(PARTITIONS) + code
        stream = Stream(self.seed, _PLAN, number)
        target = [0.0] * len(EMOTIONS)
        ambiguous = stream.chance(self.ambiguity)
        dominance = stream.uniform(0.6, 0.9) if ambiguous else 1.0
        if ambiguous:
            partners = PARTNERS[EMOTIONS[label]]
            other = stream.pick(list(partners), list(partners.values()))
            target[EMOTIONS.index(other)] = 1.0 - dominance
        target[label] = dominance
        votes = [0] * len(EMOTIONS)
        for _ in range(self.annotators):
            votes[stream.pick(range(len(EMOTIONS)), target)] += 1
        return _Plan(
            number=number,
            identity=i // self.faces_per_identity * len(PARTITIONS) + code,
            label=label,
            target=tuple(target),
            votes=tuple(votes),
            ambiguous=ambiguous,
            # A separate stream, so that the number of annotators does not affect occlusion.
            occluded=Stream(self.seed, _EXPRESSION, number).chance(self.occlusion),
        )

    def _compose(self, plan: _Plan) -> tuple[Identity, FloatArray, Conditions]:
        person = _person(self.seed, plan.identity)
        circumstances = Stream(self.seed, _CONDITIONS, plan.number)
        conditions = sample_conditions(circumstances, self.difficulty, plan.occluded, person.skin_color)
        return person, self._units(plan), conditions

    def _units(self, plan: _Plan) -> FloatArray:
        expression = Stream(self.seed, _EXPRESSION, plan.number)
        expression.random()  # used by the plan, to decide on occlusion
        return activation(expression, plan.target, self.difficulty)

    def _draw(self, plan: _Plan, person: Identity, units: FloatArray, conditions: Conditions) -> Image:
        return render(person, units, conditions, self.size, Stream(self.seed, _DETAILS, plan.number))


@dataclass(frozen=True)
class _Plan:
    """The decisions about a face that determine its labels."""

    number: int
    identity: int
    label: int
    target: tuple[float, ...]
    votes: tuple[int, ...]
    ambiguous: bool
    occluded: bool


@lru_cache(maxsize=4096)
def _person(seed: int, identity: int) -> Identity:
    person = sample_identity(Stream(seed, _PERSON, identity))
    person.traits.flags.writeable = False  # shared by all images of the person
    return person


def _check_whole(name: str, value: int, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not low <= value <= high:
        raise ValueError(f"Expected argument `{name}` to be a whole number within [{low}, {high}], but got {value!r}.")
