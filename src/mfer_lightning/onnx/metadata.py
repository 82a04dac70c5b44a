"""Write and read the metadata of an ONNX export."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mfer_lightning.errors import FORMULA, UserError
from mfer_lightning.views import Views

#: Version of the metadata; newer versions are rejected.
FORMAT = 1

INPUT = "faces"
#: Outputs in order.
OUTPUTS = ("probabilities", "logits", "feature")
#: Additional output of a model that predicts valence and arousal, (B,2) within [-1, 1].
VALENCE_AROUSAL = "valence_arousal"

_KEY = "mfer_lightning"
#: Key of the SHA-256 of graph and metadata. Exports of earlier versions have none.
_DIGEST = "mfer_lightning.sha256"
MOST_CLASSES = 1000
_LONGEST_NAME = 100
_LONGEST_NOTES = 1 << 22


@dataclass(frozen=True)
class Description:
    """Everything needed to use an exported model.

    Args:
        class_names: the K emotions in the order of the probabilities.
        alignment: how faces must be aligned, from the checkpoint (``template``, ``height``, ``margin``, ...), or None
            if it is not recorded.
        size: side to which faces are resized inside the model.
        resizes: whether the model resizes faces; if not, they must be (3, size, size).
        views: views averaged in the reported results of the model.
        preprocess: the preprocessing inside the model, in the terms of
            :class:`mfer_lightning.nn.preprocess.Preprocess`.
        quantized: ``"none"`` or ``"int8"``.
        more: further entries, such as dataset, protocol, epoch, hash of the data and versions.
    """

    class_names: tuple[str, ...]
    alignment: Mapping[str, Any] | str | None
    size: int
    resizes: bool
    views: Views
    preprocess: Mapping[str, Any]
    quantized: str = "none"
    more: Mapping[str, Any] = field(default_factory=dict)

    def to_notes(self, graph: str | None = None) -> dict[str, str]:
        """Return key -> text, as ONNX stores it: everything under one key, and common entries also separately.

        Args:
            graph: SHA-256 of the graph, from :func:`mfer_lightning.onnx.inspect_file.inspect`; None for no checksum.
        """
        whole = {
            "format": FORMAT,
            "class_names": list(self.class_names),
            "alignment": self.alignment,
            "size": self.size,
            "resizes": self.resizes,
            **self.views.to_config(),
            "preprocess": dict(self.preprocess),
            "quantized": self.quantized,
            "more": dict(self.more),
        }
        shown = {key: json.dumps(whole[key]) for key in ("class_names", "preprocess", "alignment")}
        text = json.dumps(whole)
        checksum = {} if graph is None else {_DIGEST: _sha256(graph, text)}
        return {_KEY: text, **checksum, **shown}

    @classmethod
    def from_notes(cls, notes: Mapping[str, str], source: str, graph: str | None = None) -> Description:
        """Read the metadata of a file.

        Args:
            notes: key -> text.
            source: the file, for messages.
            graph: SHA-256 of the file's graph, to verify the stored checksum; None: not verified.

        Raises:
            UserError: if the metadata is missing, in a newer format or invalid, or the file has changed since it was
                written.
        """
        text = notes.get(_KEY)
        if text is None:
            raise UserError(f"{source} is not an export of mfer_lightning: its metadata has no `{_KEY}` entry.")
        if graph is not None and notes.get(_DIGEST, _sha256(graph, text)) != _sha256(graph, text):
            raise UserError(
                f"{source} is damaged: its weights, operations or metadata have changed (a checksum "
                "differs). Copy the file again, or export the model again."
            )
        try:
            if len(text) > _LONGEST_NOTES:
                raise ValueError(f"{len(text):,} characters")
            whole = json.loads(text)
            version = whole["format"]
            if not isinstance(version, int) or isinstance(version, bool) or version < 1:
                raise ValueError(f"format {version!r}")
            if version > FORMAT:
                raise UserError(
                    f"{source} has format {version}; this version reads up to {FORMAT}. Install a newer mfer_lightning."
                )
            return cls(
                class_names=_names(whole["class_names"]),
                alignment=_typed(whole, "alignment", (dict, str, type(None))),
                size=_side(whole["size"]),
                resizes=_typed(whole, "resizes", bool),
                views=Views(_typed(whole, "flip", bool), whole.get("shift", 0.0)),
                preprocess=_typed(whole, "preprocess", dict),
                quantized=_typed(whole, "quantized", str),
                more=_typed(whole, "more", dict),
            )
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            reason = " ".join(str(error).split())[:120]
            raise UserError(f"{source}: its metadata does not describe a model ({reason}). Export it again.") from None


def _sha256(graph: str, notes: str) -> str:
    return hashlib.sha256(f"{graph}\n{notes}".encode()).hexdigest()


def _names(value: Any) -> tuple[str, ...]:
    whole = isinstance(value, list) and all(isinstance(n, str) for n in value)
    if not whole or not 2 <= len(value) <= MOST_CLASSES or len(set(value)) != len(value):
        raise ValueError("class_names is not a list of distinct names, or is too short or too long")
    if not all(0 < len(n) <= _LONGEST_NAME and n.isprintable() and not n.startswith(FORMULA) for n in value):
        raise ValueError("a class name is empty, too long or not printable, or starts like a spreadsheet formula")
    return tuple(value)


def _side(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 4096:
        raise ValueError(f"size {value!r}")
    return value


def _typed(whole: Mapping[str, Any], key: str, kinds: type | tuple[type, ...]) -> Any:
    if not isinstance(whole[key], kinds):
        raise ValueError(f"{key} is of type {type(whole[key]).__name__}")
    return whole[key]
