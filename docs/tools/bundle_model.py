"""Add an export to the bundled models.

``python docs/tools/bundle_model.py <export> <run> <name>-v<version> [--default]`` copies the files of an export written
by ``mfer export half=true calibrate=true``, and the run's ``result.json`` without paths of this machine, to
``src/mfer_lightning/bundled/``, and writes their checksums to its index. The weights of a version are never replaced,
since others may refer to them. Only its card may be: see ``bundled_cards.py``.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from mfer_lightning.bundled import registry
from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.machine_paths import PathRemover
from mfer_lightning.evaluation.runs import RESULT, read_result
from mfer_lightning.files import digests, make_folder, write_json
from mfer_lightning.inference.model import FERModel

EXPORT_FILES = ("model.safetensors", "config.json", "README.md", "export.json")


def add_model(export: Path, run: Path, full_name: str, *, default: bool = False) -> registry.BundledModel:
    """Copy a model to the package and its checksums to the index.

    Args:
        export: folder written by ``mfer export half=true``.
        run: its training run.
        full_name: name and version, e.g. ``"ferplus-v1"``.
        default: make it the default model.

    Returns:
        The model, as found by the package.

    Raises:
        UserError: for a name that is taken or invalid, an export that is incomplete or not in half precision, or a run
            without a result or with a different protocol from the export's.
    """
    folder = registry.FOLDER / full_name
    if not registry.is_full_name(full_name):
        raise UserError(f"{full_name} is not a name with a version, such as ferplus-v1.")
    if folder.exists() or registry.find_bundled(full_name) is not None:
        raise UserError(f"{full_name} already exists: give the new weights the next version.")
    missing = [name for name in EXPORT_FILES if not (export / name).is_file()]
    if missing:
        raise UserError(f"{export} lacks {', '.join(missing)}: write it with mfer export half=true calibrate=true.")
    model = FERModel.from_pretrained(export, "cpu")
    try:
        result = read_result(run / RESULT)
    except ValueError as error:
        raise UserError(f"{run} {error}.") from error
    if result["protocol"] != model.metadata.get("protocol"):
        raise UserError(
            f"{run} was trained under {result['protocol']}, but the export under {model.metadata.get('protocol')}."
        )
    make_folder(folder)
    for name in EXPORT_FILES:
        shutil.copyfile(export / name, folder / name)
    write_json(folder / RESULT, PathRemover(result["config"]).remove(dict(result)))
    index = json.loads((registry.FOLDER / registry.INDEX).read_text(encoding="utf-8"))
    index["models"][full_name] = digests(folder, (*EXPORT_FILES, RESULT))
    if default or index["default"] is None:
        index["default"] = full_name.rpartition("-v")[0]
    write_json(registry.FOLDER / registry.INDEX, index)
    found = registry.find_bundled(full_name)
    assert found is not None
    found.checked()
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and add the model."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("export", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("name", help="name and version, e.g. ferplus-v1")
    parser.add_argument("--default", action="store_true", help="make it the default model")
    given = parser.parse_args(arguments)
    try:
        model = add_model(given.export, given.run, given.name, default=given.default)
    except UserError as error:
        parser.exit(2, f"Error: {error}\n")
    print(f"Added {model.full_name}: {sum(f.stat().st_size for f in model.folder.iterdir()):,} bytes in {model.folder}")


if __name__ == "__main__":
    main()
