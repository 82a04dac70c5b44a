"""Read a model's confidence settings: its temperature, and the probability below which a prediction is uncertain.

Imports no torch and reads no files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mfer_lightning.errors import UserError, excerpt

#: Range of temperatures, both for fitting and for stored values. For a model that makes no mistakes, the optimum would
#: be 0; such a model gets the lower limit.
TEMPERATURES = (0.02, 50.0)


@dataclass(frozen=True)
class Confidence:
    """Settings that turn a model's logits into confidences and mark predictions with a low confidence as uncertain.

    Args:
        temperature: the probabilities are ``softmax(logits / temperature)``.
        threshold: probability within [0, 1] below which a prediction is uncertain; None: the model has no threshold.

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
        """Read the entry ``calibration`` of a model's metadata; return the defaults if there is none.

        Args:
            said: metadata of a model.

        Raises:
            ValueError: if the entry is malformed or a value is out of range.

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
    """Return the probability below which a prediction is uncertain.

    Args:
        said: metadata of a model.
        asked: the option ``uncertain``. None: the model's threshold, if it has one. True: the model's threshold, which
            is then required. False or 0: no prediction is uncertain. A number up to 1: this threshold.

    Returns:
        The threshold, within [0, 1]; None: no prediction is uncertain.

    Raises:
        UserError: for any other value, or for True if the model has no threshold.
        ValueError: if the stored settings are malformed.

    Example:
        >>> model = {"calibration": {"uncertain": {"threshold": 0.4}}}
        >>> [threshold_for(model, asked) for asked in (None, False, 0.6)]
        [0.4, None, 0.6]
    """
    own = Confidence.of_metadata(said).threshold
    if asked is None or asked is True:
        if asked and own is None:
            raise UserError(
                "uncertain=true: the model has no threshold (mfer export calibrate=true chooses one). Give a "
                "probability, e.g. uncertain=0.5."
            )
        return own
    if not check_uncertain(asked):
        return None
    return float(asked)


def check_uncertain(asked: Any) -> Any:
    """Check the option ``uncertain`` before a model is loaded, and return it.

    Raises:
        UserError: if the value is not a boolean, None or a number within [0, 1].
    """
    if asked is None or isinstance(asked, bool) or (_is_number(asked) and 0 <= asked <= 1):
        return asked
    raise UserError(f"uncertain={asked}: the value must be true, false, null or a probability from 0 to 1.")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
