"""``mfer data``: check the copy of a dataset that training with the same options would use, or audit its labels."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from mfer_lightning.config.combinations import run_each
from mfer_lightning.config.verb_schema import verb_schema
from mfer_lightning.errors import UserError, check_choice, check_least
from mfer_lightning.files import make_folder

IMAGES = ("all", "sample", "none")

#: Options of ``mfer train`` that the label audit accepts as well: where files are, and how they are read.
_WHERE = ("paths.", "loader.eval_batch_size", "loader.num_workers")


def main(arguments: Sequence[str]) -> int:
    """Run ``mfer data``.

    Args:
        arguments: the command-line arguments after ``data``.

    Returns:
        Exit code: 0 if there are no problems, 1 if the copy is usable with warnings, 2 if it is unusable. With ``-m``,
        1 if any of several copies has problems. For a label audit: 0.
    """
    words = ["json=true" if a == "--json" else a for a in arguments]
    own = {f.name for f in fields(verb_schema("data"))}
    mine = [w for w in words if w.startswith("-") or w.lstrip("+").partition("=")[0] in own or "=" not in w]
    return run_each("data", _examine, mine, [w for w in words if w not in mine])


def _examine(config: dict[str, Any], options: Sequence[str]) -> int:
    if config["noise"] is not None:
        return _audit(config, options)
    for option in ("checkpoint", "output"):
        if config[option] is not None:
            raise UserError(f"{option}={config[option]} applies only to a label audit: add noise=audit.")
    check_choice("images", config["images"], IMAGES)
    check_least("faces", config["faces"], 1)
    check_least("preview", config["preview"], 0)
    if config["shared"] == "":
        raise UserError("shared= has no value: give a folder for the lists, or leave the option out.")
    shared = None if config["shared"] in (None, "none") else Path(config["shared"]).expanduser()  # none: no lists
    if shared is not None and config["images"] != "all":
        raise UserError(f"shared={shared} reads every image, so leave out images={config['images']}.")
    sheet = config["sheet"]
    if sheet not in (None, "none") and Path(sheet).suffix.lower() != ".png":
        raise UserError(f"sheet={sheet}: the contact sheet must be a .png file.")

    from mfer_lightning.config.compose import compose_train
    from mfer_lightning.data.doctor import Finding, examine
    from mfer_lightning.progress import progress_bar
    from mfer_lightning.reporting.terminal.doctor import as_json, print_examination
    from mfer_lightning.training.build import build_datamodule
    from mfer_lightning.training.checks import check_config

    train = compose_train(options)
    check_config(train)
    datamodule = build_datamodule(train)
    try:
        datamodule.prepare_data()
        datamodule.setup("predict")
    except UserError as error:
        if not config["json"]:
            raise
        print(json.dumps({"exit_code": 2, "findings": [asdict(Finding("unusable", "error", str(error)))]}, indent=2))
        return 2
    own = None if sheet == "none" else sheet
    path = Path(own or Path(train["paths"]["runs"]) / "data" / f"{datamodule.dataset}.png").expanduser()
    drawn = sheet != "none" and config["images"] != "none"
    preview = path.with_stem(f"{path.stem}-augment") if config["preview"] else None
    # check the folders before reading every image, which takes a while
    if own and (drawn or preview):
        _check_outside("sheet", path, datamodule.index.root)
    if shared is not None:
        _check_outside("shared", shared, datamodule.index.root)
    for folder in ([path.parent] if drawn or preview else []) + ([shared] if shared else []):
        make_folder(folder)
    if preview is not None:
        _draw_preview(datamodule, train, config["preview"], preview)
    with progress_bar(quiet=config["json"] or not sys.stderr.isatty()) as bar:
        task = bar.add_task("images", total=None)
        found = examine(datamodule, config["images"], lambda n: bar.advance(task, n))
    drawn = drawn and found.scan is not None and len(found.scan) > 0
    if drawn:
        from mfer_lightning.data.doctor.contact_sheet import sheet_rows
        from mfer_lightning.figures.contact_sheet import plot_contact_sheet

        plot_contact_sheet(sheet_rows(datamodule, found, config["faces"]), path, f"{found.protocol}: {found.layout}")
    lists: dict[Path, int] = {}
    if shared is not None and found.scan is not None and found.pairs is not None:
        from mfer_lightning.data.doctor.duplicate_lists import write_shared

        lists = write_shared(shared, found.scan, found.pairs, datamodule)
    if config["json"]:
        files: dict[str, Any] = {"sheet": str(path) if drawn else None, "preview": str(preview) if preview else None}
        files |= {"shared": {str(p): n for p, n in lists.items()}}
        print(json.dumps({**as_json(found), **files}, indent=2))
    else:
        print_examination(found, path if drawn else None, lists, preview=preview)
    return found.exit_code


def _audit(config: Mapping[str, Any], options: Sequence[str]) -> int:
    """Search a training set for label errors, with networks that were each trained on a part of it."""
    check_choice("noise", config["noise"], ("audit",))
    check_least("faces", config["faces"], 1)
    for name, usual in {"images": "all", "sheet": None, "shared": None, "preview": 0}.items():
        if config[name] != usual:
            raise UserError(f"{name}={config[name]} applies only to the dataset check, not to noise=audit.")
    for option in options:
        if not option.lstrip("+").startswith(_WHERE):
            raise UserError(
                f"{option}: noise=audit takes the dataset and its options from the checkpoints. Leave this option out. "
                "Only paths.*, loader.num_workers and loader.eval_batch_size are accepted."
            )
    from mfer_lightning.analysis.noise_audit import audit_labels
    from mfer_lightning.config.compose import compose_train

    train = compose_train(options)
    given = {option.lstrip("+").partition("=")[0] for option in options}
    loader = {name: train["loader"][name] for name in ("eval_batch_size", "num_workers") if f"loader.{name}" in given}
    audit = audit_labels(
        config["checkpoint"],
        output=config["output"],
        runs=train["paths"]["runs"],
        faces=config["faces"],
        margin=config["margin"],
        device=config["device"],
        data=train["paths"]["data"] if "paths.data" in given else None,
        cache=train["paths"]["cache"],
        loader=loader,
        show=not config["json"],
    )
    if config["json"]:
        print(json.dumps({**audit.to_dict(), "folder": str(audit.folder)}, indent=2))
    return 0


def _draw_preview(datamodule: Any, train: Mapping[str, Any], faces: int, path: Path) -> None:
    from mfer_lightning.config.augment_forms import first_form
    from mfer_lightning.data.doctor.augment_sheet import EPOCHS, augment_rows
    from mfer_lightning.figures.contact_sheet import plot_contact_sheet

    name = train["augment"].get("name") or train["augment"].get("_target_")
    changed = " (changed)" if first_form(train["augment"]).keys() > {"name"} else ""
    title = f"augment={name}{changed}, seed={train['seed']}: as read, then epochs 1 to {EPOCHS}"
    plot_contact_sheet(augment_rows(datamodule, faces), path, title)


def _check_outside(option: str, folder: Path, root: Path) -> None:
    if root.is_dir() and folder.resolve().is_relative_to(root.resolve()):
        raise UserError(
            f"{option}={folder} is inside the dataset's folder, {root}, which must not be changed. Choose another "
            "folder."
        )
