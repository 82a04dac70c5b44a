"""What the datasets' own terms say, in a sentence each (docs/datasets.md)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

#: Beginning of a dataset's name -> its terms.
NOTES: Mapping[str, str] = MappingProxyType(
    {
        "rafdb": (
            "RAF-DB is for non-commercial research only, on request from its authors; images must not be passed on."
        ),
        "affectnet": (
            "AffectNet is for non-commercial research only, on request from its authors; images must not be passed on."
        ),
        "ferplus": (
            "The FERPlus votes are under the MIT licence; the faces are those of FER2013, collected from the web for "
            "research."
        ),
        "facs": "Synthetic faces, drawn by mfer_lightning (MIT licence): no person's likeness.",
    }
)


def licence_note(dataset: str | None) -> str:
    """Say under which terms a dataset is given.

    Args:
        dataset: its name, or None.

    Example:
        >>> licence_note("facs")
        "Synthetic faces, drawn by mfer_lightning (MIT licence): no person's likeness."
    """
    for beginning, note in NOTES.items():
        if str(dataset).startswith(beginning):
            return note
    return "not known to mfer_lightning: state it here before you pass the model on."
