"""``mfer evaluate suite=robustness``: the robustness card of a model, as JSON, CSV, figures and a table."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mfer_lightning.align.geometry import BORDERS
from mfer_lightning.analysis.corruptions import Change
from mfer_lightning.analysis.face_lists import match_lists
from mfer_lightning.analysis.forward_passes import Passes
from mfer_lightning.analysis.model_on_split import ModelOnSplit, choose_faces
from mfer_lightning.analysis.robustness_card import KINDS, conditions, measure_robustness
from mfer_lightning.analysis.severities import VERSION
from mfer_lightning.errors import UserError, check_choice, nearest
from mfer_lightning.figures.change_sheet import plot_changes
from mfer_lightning.figures.robustness import plot_lists, plot_robustness
from mfer_lightning.files import atomic_path, write_json
from mfer_lightning.plurals import counted
from mfer_lightning.progress import progress_bar
from mfer_lightning.reporting.terminal.robustness import describe_batch, print_robustness
from mfer_lightning.tracking.provenance import hardware, versions

SCHEMA_VERSION = 1

_COLUMNS = (
    *("kind", "group", "severity", "amount", "unit", "n", "accuracy", "low", "high", "mean_class_accuracy"),
    *("drop", "drop_low", "drop_high"),
)


def check_options(options: Mapping[str, Any]) -> None:
    """Check the options ``robustness.*`` before a model is loaded.

    Raises:
        UserError: if a value is not legal.
    """
    if options["limit"] is not None and options["limit"] < 1:
        raise UserError(f"robustness.limit={options['limit']}: give a number of faces, at least 1, or null for all.")
    check_choice("robustness.border", options["border"], BORDERS)
    for kind in options["kinds"] or ():
        if kind not in KINDS:
            raise UserError(f"robustness.kinds: {kind} is not part of the suite: {nearest(kind, KINDS)}")


def evaluate_robustness(
    subject: ModelOnSplit,
    folder: Path,
    *,
    lists: Mapping[str, Sequence[str]] | None = None,
    limit: int | None = None,
    kinds: Sequence[str] | None = None,
    batch: bool = True,
    border: str = "black",
    seed: int = 0,
) -> dict[str, Any]:
    """Measure the robustness of a model; write and print the card.

    An interrupted suite continues where it stopped if the model, faces and options are the same.

    Args:
        subject: the model and the faces.
        folder: folder of the results: ``robustness.csv``, ``figures/``, and ``robustness.json``, written last.
        lists: name of a subset -> file names of its faces, see :mod:`mfer_lightning.analysis.face_lists`.
        limit: use a stratified sample of about this many faces; None: all.
        kinds: names of the changes to measure; None: all.
        batch: check that predictions do not depend on the rest of the batch.
        border: how to fill pixels outside the image after a geometric change: black, edge, mirror.
        seed: seed of the changes' random numbers.

    Returns:
        The card: the content of ``robustness.json``.

    Raises:
        UserError: if there are no faces to evaluate, or a list contains none of them.
    """
    datamodule, split, whole = subject.datamodule, subject.split, len(subject.positions)
    subject = replace(subject, positions=choose_faces(datamodule, split, subject.match, limit))
    subject.require_faces()
    matched = match_lists(lists or {}, datamodule.index.path.tolist(), subject.rows)
    batch_of_one = next(iter(datamodule.predict_dataloader(split, subject.positions[:1])))
    first: np.ndarray = batch_of_one["image"][0].permute(1, 2, 0).numpy().copy()
    wanted = conditions(min(first.shape[:2]), kinds)

    # the data hash does not cover the images, which options of the dataset may change
    pictures = {name: value for name, value in sorted(subject.dataset.items()) if name != "root"}
    with progress_bar() as bar:
        total = len(subject.positions) * (len(wanted) + 2 + (subject.views.count > 1) + bool(batch))
        task = bar.add_task("clean", total=total)
        passes = Passes(
            subject,
            folder / "unfinished",
            f"{VERSION} {seed} {border} {pictures}",
            lambda name, count: bar.update(task, advance=count, description=name),
        )
        measured = measure_robustness(passes, wanted, matched, seed=seed, border=border, check_batches=batch)

    notes = subject.remarks()
    if len(subject.positions) < whole:
        notes.append(
            f"a stratified sample of {len(subject.positions):,} of {counted(whole, 'face')} (robustness.limit)"
        )
    notes += [found["said"] for found in measured["lists"].values()]
    if measured["batch"] is not None and not measured["batch"]["passes"]:
        notes.append(describe_batch(measured["batch"]))
    card = {
        "schema_version": SCHEMA_VERSION,
        "suite": "robustness",
        **subject.describe(),
        "class_names": list(subject.match.names),
        "n_of_split": whole,
        **measured,
        "notes": notes,
        "options": {"limit": limit, "kinds": kinds, "batch": batch, "border": border, "seed": seed},
        "data_hash": datamodule.data_hash,
        "model": subject.describe_model(),
        "passes_reused": passes.reused,
        "versions": versions(),
        "hardware": hardware(),
    }
    where = f"{subject.protocol}, {split}"
    _write_csv(card, folder / "robustness.csv")
    if wanted:
        plot_robustness(card, folder / "figures" / "robustness.png", f"Robustness ({where})")
        changed: dict[str, list[np.ndarray]] = {}
        for condition in wanted:
            change = Change(condition.kind, condition.amount, seed, border)
            face = change(first[None], 0, np.zeros(1, dtype=np.int64), subject.rows[:1])[0]
            changed.setdefault(condition.kind, []).append(face)
        plot_changes(first, changed, folder / "figures" / "changes.png")
    if card["lists"]:
        plot_lists(card, folder / "figures" / "lists.png", f"Accuracy on lists of faces ({where})")
    write_json(folder / "robustness.json", card)
    passes.finish()
    print_robustness(card, folder)
    return card


def _write_csv(card: Mapping[str, Any], path: Path) -> None:
    """Write one row per accuracy of a card: clean, points of the curves, lists and their complements."""
    rows: list[dict[str, Any]] = [{"kind": "clean", **card["clean"]}]
    for kind, curve in card["curves"].items():
        facts = {"kind": kind, "group": curve["group"], "unit": curve["unit"]}
        rows += [{**facts, **point} for point in curve["points"]]
    for name, figures in card["lists"].items():
        parts = {"list": figures["subset"], "rest": figures["rest"]}
        rows += [{"kind": f"{part}:{name}", "group": "list", **point} for part, point in parts.items() if point]
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, _COLUMNS, lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows(rows)
