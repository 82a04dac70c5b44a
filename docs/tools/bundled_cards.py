"""Regenerate the model cards of the bundled models.

``python docs/tools/bundled_cards.py`` renders each card from the model's ``config.json`` and ``export.json`` with the
current template, and updates its checksum in the index. Weights, descriptions and results stay as they are.
"""

from __future__ import annotations

import json
from pathlib import Path

from mfer_lightning.bundled import registry
from mfer_lightning.files import digests, write_json, write_text
from mfer_lightning.inference.export.half import half_card
from mfer_lightning.inference.export.parity import Comparison
from mfer_lightning.inference.export.safetensors_folder import CARD


def card_of(folder: Path) -> str:
    """Render the card of an export in half precision.

    Args:
        folder: folder with its ``config.json`` and ``export.json``.

    Returns:
        The card in Markdown.
    """
    description, measured = (
        json.loads((folder / name).read_text(encoding="utf-8")) for name in ("config.json", "export.json")
    )
    return half_card(description, (Comparison(**one) for one in measured["comparisons"]), measured["remarks"])


def main() -> None:
    """Write all cards and their checksums."""
    path = registry.FOLDER / registry.INDEX
    index = json.loads(path.read_text(encoding="utf-8"))
    for name, checksums in index["models"].items():
        folder = registry.FOLDER / name
        write_text(folder / CARD, card_of(folder))
        checksums |= digests(folder, (CARD,))
    write_json(path, index)


if __name__ == "__main__":
    main()
