"""``mfer export``: export a trained model as weights with a model card or as an ONNX file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mfer_lightning.config.compose import run_verb
from mfer_lightning.errors import UserError


def main(arguments: Sequence[str]) -> int:
    """Run ``mfer export``.

    Args:
        arguments: the command-line arguments after ``export``.

    Returns:
        Exit code: 0, or 1 if one of several exports failed.
    """
    return run_verb("export", _export, arguments)


def _export(config: dict[str, Any]) -> None:
    if config["checkpoint"] is None:
        raise UserError("Nothing to export: give checkpoint=<a run's folder or a .ckpt file>.")
    from mfer_lightning.inference.export.run import export

    paths = config.pop("paths")
    written = export(**config, data=paths["data"], cache=paths["cache"])
    if written.comparisons:
        precision = "float32" if config["quantize"] == "none" else config["quantize"]
        written_as = "Weights in half precision" if config["half"] else f"ONNX in {precision}"
        print(f"{written_as} against the checkpoint in float32:")
        for line in [c.sentence for c in written.comparisons] + ([written.remark] if written.remark else []):
            print(f"  {line}")
    for sentence in written.calibrated:
        print(sentence)
    print(f"Written: {written.folder}")
    for path in sorted(written.folder.iterdir()):
        print(f"  {path.name:<18} {path.stat().st_size:>13,} bytes")
