"""Numbers in label files: parse integers such as ``3``, ``3.0`` and ``03``, and map them to classes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from mfer_lightning.data.labels.image_files import some
from mfer_lightning.emotions import EMOTIONS, canonical
from mfer_lightning.errors import UserError, nearest


class Order(NamedTuple):
    """Class names in the order of their numbers.

    Attributes:
        names: the classes.
        first: number of the first class.
    """

    names: tuple[str, ...]
    first: int = 0


#: Meaning of numeric labels, as given by the user: class names in the order of their numbers, number -> class name, or
#: the name of an order; None: not given.
Given: TypeAlias = "Sequence[str] | Mapping[int, str] | str | None"

#: Class orders of datasets that are not declared in :mod:`mfer_lightning.data.datasets`.
ORDERS: Mapping[str, Order] = {
    "fer2013": Order(("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")),
}


#: Maximum number of digits of an integer in a label file.
MOST_DIGITS = 18

#: Largest absolute value of a side or position of a face box; no photo is larger.
MOST_PIXELS = 1_000_000


@lru_cache(maxsize=4096)
def whole_number(text: str) -> int | None:
    """Parse an integer, which may have a decimal point or comma followed by zeros; return None for other text.

    Also return None for integers of more than :data:`MOST_DIGITS` digits, which may not fit into int64.

    Example:
        >>> [whole_number(text) for text in ("3", "3.0", "03", "3.5", "sad")]
        [3, 3, 3, None, None]
    """
    whole, _, rest = text.replace(",", ".").partition(".")
    digits = whole[1:] if whole[:1] in ("+", "-") else whole
    return int(whole) if digits.isdecimal() and len(digits) <= MOST_DIGITS and not rest.strip("0") else None


def whole_pixels(text: str) -> int:
    """Parse a coordinate or side of a face box in pixels; decimals are cut off.

    Raises:
        ValueError: if it is not a number of at most :data:`MOST_PIXELS` in magnitude.

    Example:
        >>> whole_pixels("12.7"), whole_pixels("-1")
        (12, -1)
    """
    number = float(text)
    if not abs(number) <= MOST_PIXELS:  # NaN compares false with everything
        raise ValueError(f"{text[:40]} is not a number of pixels up to {MOST_PIXELS:,}")
    return int(number)


def is_number(text: str) -> bool:
    """Whether a label is a number (integer or not) rather than a name."""
    return text.lstrip("+-").replace(",", ".").replace(".", "", 1).isdecimal()


def order_of(names: Collection[str]) -> tuple[str, ...]:
    """Sort class names: known emotions in the order of ``EMOTIONS``, then all others alphabetically.

    Example:
        >>> order_of(["boredom", "anger", "awe", "neutral"])
        ('neutral', 'anger', 'awe', 'boredom')
    """
    known = set(names)
    return tuple(name for name in EMOTIONS if name in known) + tuple(sorted(known - set(EMOTIONS)))


def read_labels(
    labels: Collection[str], given: Given, orders: Mapping[str, Order], where: str
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Map each label to a class.

    Args:
        labels: the distinct labels, or names of class folders.
        given: meaning of numeric labels, as given by the user (``dataset.class_names``).
        orders: name -> order, for known datasets.
        where: file or folder, for messages.

    Returns:
        Label -> class, and the class names in order.

    Raises:
        UserError: if labels are numbers without a known meaning, some are numbers and others are not, or a label is not
            among the user's classes.
    """
    numbers = sorted(label for label in labels if is_number(label))
    order = _order(given, orders)
    if numbers and len(numbers) < len(labels):
        names = sorted(label for label in labels if not is_number(label))
        raise UserError(
            f"{where}: some labels are numbers ({some(numbers, 3)}), others are names ({some(names, 3)}). "
            "The meaning of the numbers is unclear: write all labels in the same form."
        )
    if not numbers:
        meaning = {label: canonical(label) for label in labels}
        unknown = sorted(label for label, name in meaning.items() if order and name not in order.values())
        if order and unknown:
            raise UserError(
                f"{where}: no entry for {some(unknown)} in dataset.class_names ({', '.join(order.values())}). "
                "Add every class to this option, or remove the other faces."
            )
    else:
        if not order:
            raise _ask(numbers, where, orders)
        numbered = _numbered(numbers, given, order, where)
        meaning = {label: numbered[int(whole_number(label) or 0)] for label in numbers}
    present = set(meaning.values())
    if not order:
        return meaning, order_of(present)
    # the name of an order only gives numbers a meaning, so classes that do not occur are left out
    return meaning, tuple(name for name in order.values() if name in present or not isinstance(given, str))


def _order(given: Given, orders: Mapping[str, Order]) -> dict[int, str]:
    """Return number -> class for the meaning given by the user; lists are numbered from 0."""
    if given is None:
        return {}
    if isinstance(given, str):
        if given not in orders:
            raise UserError(f"dataset.class_names={given} is not a known class order: {nearest(given, orders)}")
        return dict(enumerate(orders[given].names, orders[given].first))
    pairs = given.items() if isinstance(given, Mapping) else enumerate(given)
    try:
        order = {int(number): canonical(str(name)) for number, name in pairs}
    except ValueError:
        raise UserError(
            "dataset.class_names: expected classes in the order of their numbers, [neutral,happiness,...], or "
            f"{{0: neutral, 1: happiness, ...}}, but got {given}."
        ) from None
    if len(set(order.values())) < len(order) or len(order) < 2:
        raise UserError(f"dataset.class_names={list(order.values())}: expected two or more different classes.")
    return dict(sorted(order.items()))


def _numbered(numbers: Sequence[str], given: Given, order: dict[int, str], where: str) -> dict[int, str]:
    """Return number -> class; a list of names is numbered from 0 or 1, depending on the labels."""
    found = {label: whole_number(label) for label in numbers}
    broken = [label for label, number in found.items() if number is None]
    if broken:
        raise UserError(
            f"{where}: the label {broken[0]} is not a whole number, so it is not the number of a class. "
            "Give the column of the labels with dataset.columns={label: <column>}."
        )
    whole = {number for number in found.values() if number is not None}
    if not isinstance(given, Mapping) and min(whole) == 0:
        order = dict(enumerate(order.values()))
    elif not isinstance(given, Mapping | str):
        if max(whole) < len(order):
            raise UserError(
                f"{where}: the labels are {some(sorted(map(str, whole)), 12)}, so it is unclear whether "
                f"dataset.class_names counts from 0 or 1. Use dataset.class_names={{{min(whole)}: <name>, ...}}."
            )
        order = dict(enumerate(order.values(), 1))
    unknown = sorted(whole - set(order))
    if unknown:
        raise UserError(
            f"{where}: dataset.class_names has no name for {some([str(number) for number in unknown])}; it "
            f"contains {', '.join(f'{number} {name}' for number, name in order.items())}."
        )
    return order


def _ask(numbers: Sequence[str], where: str, orders: Mapping[str, Order]) -> UserError:
    whole = {whole_number(label) for label in numbers}
    like = [name for name, order in orders.items() if whole == {order.first + k for k in range(len(order.names))}]
    hint = f" {like[0]} has exactly these numbers: for its files, use dataset={like[0]}." if len(like) == 1 else ""
    return UserError(
        f"{where}: the classes are numbers ({some(numbers, 8)}), whose meaning is unknown. List the classes in the "
        "order of their numbers, dataset.class_names=[neutral,happiness,...], or name a dataset with the same numbers, "
        f"e.g. dataset.class_names=affectnet8 (known: {', '.join(orders)}).{hint}"
    )
