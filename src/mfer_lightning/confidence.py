"""Read the confidence settings of a model: its temperature, and the probability below which an answer is uncertain.

Imports no torch and reads no files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mfer_lightning.errors import UserError, excerpt

#: Temperatures that are fitted and accepted. For a model that is always right the optimum is 0; it gets the lower
#: limit.
TEMPERATURES = (0.02, 50.0)


@dataclass(frozen=True)
class Confidence:
    """Settings that turn a model's logits into confidences and mark low ones as uncertain.

    Args:
        temperature: the probabilities are ``softmax(logits / temperature)``.
        threshold: answers with a lower probability are uncertain, within [0, 1]; None: the model has none.

    Raises:
        ValueError: for values out of range.
    """

    temperature: float = 1.0
    threshold: float | None = None

    def __post_init__(self) -> None:
        low, high = TEMPERATURES
        if not _is_number(self.temperature) or not low <= self.temperature <= high:
            raise ValueError(f"Expected `temperature` to be within [{low}, {high}], but got {self.temperature}.")
        if self.threshold is not None and (not _is_number(self.threshold) or not 0 <= self.threshold <= 1):
            raise ValueError(f"Expected `threshold` to be within [0, 1] or None, but got {self.threshold}.")

    @classmethod
    def of_metadata(cls, said: Mapping[str, Any]) -> Confidence:
        """Read the entry ``calibration`` of a model's metadata; without it, the defaults.

        Raises:
            ValueError: if it is malformed.

        Example:
            >>> Confidence.of_metadata({"calibration": {"temperature": 1.5, "uncertain": {"threshold": 0.4}}})
            Confidence(temperature=1.5, threshold=0.4)
            >>> Confidence.of_metadata({"calibration": None})
            Confidence(temperature=1.0, threshold=None)
        """
        stored = said.get("calibration")
        if stored is None:
            return cls()
        uncertain = stored.get("uncertain") if isinstance(stored, Mapping) else None
        if not isinstance(stored, Mapping) or not isinstance(uncertain, (Mapping, type(None))):
            held = excerpt(stored)
            raise ValueError(f"Expected `calibration` to contain a temperature and a threshold, but got {held}.")
        threshold = None if uncertain is None else uncertain.get("threshold")
        return cls(stored.get("temperature", 1.0), threshold)


def threshold_for(said: Mapping[str, Any], asked: Any) -> float | None:
    """Return the probability below which an answer is uncertain.

    Args:
        said: metadata of a model.
        asked: the option ``uncertain``. None: the model's threshold, if it has one. True: the same, and it must have
            one. False or 0: never uncertain. A number up to 1: this threshold.

    Returns:
        The threshold; None: no answer is uncertain.

    Raises:
        UserError: for anything else.

    Example:
        >>> model = {"calibration": {"uncertain": {"threshold": 0.4}}}
        >>> [threshold_for(model, asked) for asked in (None, False, 0.6)]
        [0.4, None, 0.6]
    """
    own = Confidence.of_metadata(said).threshold
    if asked is None or asked is True:
        if asked and own is None:
            raise UserError(
                "uncertain=true: the model has no threshold (mfer export calibrate=true chooses one). Give it as a "
                "probability, e.g. uncertain=0.5."
            )
        return own
    if not check_uncertain(asked):
        return None
    return float(asked)


def check_uncertain(asked: Any) -> Any:
    """Check the option ``uncertain`` before a model is loaded, and return it.

    Raises:
        UserError: for a value that is not legal.
    """
    if asked is None or isinstance(asked, bool) or (_is_number(asked) and 0 <= asked <= 1):
        return asked
    raise UserError(f"uncertain={asked}: the value must be true, false, null or a probability from 0 to 1.")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
