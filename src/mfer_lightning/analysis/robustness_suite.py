"""``mfer evaluate suite=robustness``: the robustness card of a model, as JSON, CSV, figures and a table."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import Progress

from mfer_lightning.align.geometry import BORDERS
from mfer_lightning.analysis.cached_passes import Faces, Passes, choose_faces
from mfer_lightning.analysis.corruptions import Change
from mfer_lightning.analysis.face_lists import FaceList, match_lists, read_lists
from mfer_lightning.analysis.model_and_faces import Subject, describe_model, doubts, left_out, open_subject
from mfer_lightning.analysis.robustness import Condition, conditions, measure_robustness
from mfer_lightning.analysis.severities import CORRUPTIONS, MISALIGNMENTS, VERSION
from mfer_lightning.errors import UserError, nearest
from mfer_lightning.figures.change_sheet import plot_changes
from mfer_lightning.figures.robustness import plot_lists, plot_robustness
from mfer_lightning.files import atomic_path, write_json
from mfer_lightning.report.terminal.robustness import describe_batch, print_robustness
from mfer_lightning.tracking.provenance import hardware, versions

SCHEMA_VERSION = 1

_COLUMNS = ("kind", "group", "severity", "amount", "unit", "n", "accuracy", "low", "high", "mean_class_accuracy")
_DROPS = ("drop", "drop_low", "drop_high")


def evaluate_robustness(config: Mapping[str, Any], options: Sequence[str] = ()) -> Path:
    """Measure a checkpoint's robustness as ``mfer evaluate`` was asked to.

    A suite that was broken off goes on where it stopped, if model, faces and options are the same.

    Args:
        config: plain resolved configuration of ``mfer evaluate``.
        options: ``dataset.<option>=<value>``.

    Returns:
        The folder of the results: ``robustness.json`` (written last), ``robustness.csv``, ``figures/``.

    Raises:
        UserError: for whatever the user can mend.
    """
    wished = config["robustness"]
    _check(wished)
    names = read_lists(config["lists"])
    subject = open_subject(config, options, suffix="-robustness")
    index = subject.datamodule.index
    positions = choose_faces(subject.datamodule, subject.split, subject.match, wished["limit"])
    if len(positions) == 0:
        subject.datamodule.predict_dataloader(subject.split)  # says why there are none
        raise UserError(f"drop leaves no face of the {subject.split} split.")
    faces = Faces(subject.model, subject.datamodule, subject.split, positions, subject.match, subject.views)
    lists = match_lists(names, index.path.tolist(), faces.rows)

    first = _first_face(faces)
    wanted = conditions(min(first.shape[:2]), wished["kinds"])
    card, passes = _measure(faces, wanted, lists, wished, subject)
    card = _complete(card, subject, faces, wished, passes.reused)
    _write(card, subject.folder, first, wanted, int(faces.rows[0]), wished)
    passes.finish()
    print_robustness(card, subject.folder)
    return subject.folder


def _check(wished: Mapping[str, Any]) -> None:
    if wished["limit"] is not None and wished["limit"] < 1:
        raise UserError(f"robustness.limit={wished['limit']}: give a number of faces, at least 1, or null for all.")
    if wished["border"] not in BORDERS:
        raise UserError(f"robustness.border={wished['border']}: {nearest(wished['border'], BORDERS)}")
    legal = (*CORRUPTIONS, "resolution", *MISALIGNMENTS)
    for kind in wished["kinds"] or ():
        if kind not in legal:
            raise UserError(f"robustness.kinds: {kind} is no change of the suite: {nearest(kind, legal)}")


def _measure(
    faces: Faces, wanted: Sequence[Condition], lists: Sequence[FaceList], wished: Mapping[str, Any], subject: Subject
) -> tuple[dict[str, Any], Passes]:
    # the hash of the data is of its labels: options of the dataset make other pictures of the same faces
    pictures = {name: value for name, value in sorted(subject.spec.items()) if name != "root"}
    definition = f"{VERSION} {wished['seed']} {wished['border']} {pictures}"
    total = len(faces.positions) * (len(wanted) + 2 + (faces.views.count > 1) + bool(wished["batch"]))
    with Progress(transient=True) as bar:
        task = bar.add_task("clean", total=total)

        def advance(name: str, count: int) -> None:
            bar.update(task, advance=count, description=name)

        passes = Passes(faces, subject.folder / "unfinished", definition, advance)
        card = measure_robustness(
            passes,
            wanted,
            lists,
            seed=wished["seed"],
            border=wished["border"],
            check_batches=wished["batch"],
        )
    return card, passes


def _complete(
    card: dict[str, Any], subject: Subject, faces: Faces, wished: Mapping[str, Any], reused: int
) -> dict[str, Any]:
    """Say of what and how the card was made."""
    datamodule, split = subject.datamodule, subject.split
    whole = len(choose_faces(datamodule, split, subject.match))
    notes = [*doubts(subject.model, datamodule, split), *left_out(subject.match, datamodule, split)]
    if len(faces.positions) < whole:
        notes.append(f"quick: {len(faces.positions):,} of {whole:,} faces, stratified (robustness.limit)")
    notes += [found["said"] for found in card["lists"].values()]
    if card["batch"] is not None and not card["batch"]["passes"]:
        notes.append(describe_batch(card["batch"]))
    return {
        "schema_version": SCHEMA_VERSION,
        "suite": "robustness",
        "dataset": subject.spec.get("name", datamodule.dataset),
        "protocol": subject.protocol,
        "split": split,
        "evaluation_set": subject.evaluation_set,
        "class_names": list(subject.match.names),
        "n_of_split": whole,
        **card,
        "notes": [*notes, *datamodule.notes],
        "options": dict(wished),
        "data_hash": datamodule.data_hash,
        "model": describe_model(subject.model, subject.views),
        "passes_reused": reused,
        "versions": versions(),
        "hardware": hardware(),
    }


def _write(
    card: Mapping[str, Any],
    folder: Path,
    face: np.ndarray,
    wanted: Sequence[Condition],
    row: int,
    wished: Mapping[str, Any],
) -> None:
    _write_csv(card, folder / "robustness.csv")
    where = f"{card['protocol']}, {card['split']}"
    if wanted:
        plot_robustness(card, folder / "figures" / "robustness.png", f"Robustness ({where})")
        changed: dict[str, list[np.ndarray]] = {}
        zero, rows = np.zeros(1, dtype=np.int64), np.array([row])
        for condition in wanted:
            change = Change(condition.kind, condition.amount, wished["seed"], wished["border"])
            changed.setdefault(condition.kind, []).append(change(face[None], 0, zero, rows)[0])
        plot_changes(face, changed, folder / "figures" / "changes.png")
    if card["lists"]:
        plot_lists(card, folder / "figures" / "lists.png", f"Lists of hard faces ({where})")
    write_json(folder / "robustness.json", card)


def _write_csv(card: Mapping[str, Any], path: Path) -> None:
    """Write every accuracy of a card as one row: the clean one, the curves' points, the lists and their rests."""
    rows: list[dict[str, Any]] = [{"kind": "clean", **card["clean"]}]
    for kind, curve in card["curves"].items():
        facts = {"kind": kind, "group": curve["group"], "unit": curve["unit"]}
        rows += [{**facts, **point} for point in curve["points"]]
    for name, figures in card["lists"].items():
        rows += [
            {"kind": f"{part}:{name}", "group": "list", **figures[key]}
            for part, key in (("list", "subset"), ("rest", "rest"))
            if figures[key] is not None
        ]
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*_COLUMNS, *_DROPS], lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows(rows)


def _first_face(faces: Faces) -> np.ndarray:
    batch = next(iter(faces.datamodule.predict_dataloader(faces.split, faces.positions[:1])))
    picture: np.ndarray = batch["image"][0].permute(1, 2, 0).numpy().copy()
    return picture
