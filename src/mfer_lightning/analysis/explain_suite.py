"""``mfer evaluate suite=explain``: Grad-CAM of chosen faces, and the weights of the attention modules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from scipy.special import softmax

from mfer_lightning.analysis.attention_maps import attention_maps
from mfer_lightning.analysis.forward_passes import Passes
from mfer_lightning.analysis.gradcam import METHODS, explain, require_package, stage_of
from mfer_lightning.analysis.model_on_split import ModelOnSplit, choose_faces
from mfer_lightning.emotions import canonical
from mfer_lightning.errors import UserError, check_choice, nearest
from mfer_lightning.figures.example_grid import surest
from mfer_lightning.figures.saliency import Explained, plot_attention, plot_saliency
from mfer_lightning.files import atomic_path, write_json
from mfer_lightning.plurals import counted
from mfer_lightning.progress import progress_bar
from mfer_lightning.reporting.terminal.results import print_places
from mfer_lightning.tracking.provenance import versions

#: Ways to choose faces, with their descriptions for titles.
CHOICES = {
    "mistakes": "most confident mistakes",
    "surest": "most confident correct predictions",
    "sample": "stratified sample",
}

#: Maximum number of faces in the figure of attention weights, one per row.
ATTENTION_FACES = 8


@dataclass(frozen=True)
class Options:
    """Which faces to explain, and how: the options ``explain.*``.

    Args:
        choice: one of :data:`CHOICES`.
        rows: index rows of the faces to explain, 1 to 200 of them; None: as given by ``choice`` and ``count``.
        count: number of faces, 1 to 200.
        target: the class to explain: ``"predicted"``, ``"true"``, or an emotion.
        stage: number of the backbone stage to explain, from 1; None: see
            :func:`~mfer_lightning.analysis.gradcam.default_stage`.
        method: one of :data:`~mfer_lightning.analysis.gradcam.METHODS`.
        channels: number of attention channels to show for each face, 0 to 12.
    """

    choice: str = "mistakes"
    rows: Sequence[int] | None = None
    count: int = 16
    target: str = "predicted"
    stage: int | None = None
    method: str = "gradcam"
    channels: int = 4

    def check(self) -> None:
        """Check the values, and that the package grad-cam is installed, before a model is loaded.

        Raises:
            UserError: if a value is not legal, or the package is missing.
        """
        check_choice("explain.choice", self.choice, CHOICES)
        check_choice("explain.method", self.method, METHODS)
        for option, value, least, most in (("count", self.count, 1, 200), ("channels", self.channels, 0, 12)):
            if not least <= value <= most:
                raise UserError(f"explain.{option}={value}: the value must be from {least} to {most}.")
        if self.rows is not None and not 1 <= len(self.rows) <= 200:
            raise UserError(f"explain.rows has {len(self.rows)} rows: the value must be 1 to 200 row numbers, or null.")
        require_package()

    @property
    def words(self) -> str:
        """Description of the chosen faces."""
        return CHOICES[self.choice] if self.rows is None else "chosen faces"


def explain_model(subject: ModelOnSplit, folder: Path, options: Options) -> dict[str, Any]:
    """Draw saliency maps of a model; write and print the results.

    Args:
        subject: the model and the faces.
        folder: folder of the results: ``maps.npz``, ``figures/gradcam.png``, ``figures/attention.png`` (if the network
            has DS attention), and ``explain.json``, written last.
        options: which faces to explain, and how.

    Returns:
        The content of ``explain.json``.

    Raises:
        UserError: if there are no faces to explain, the target or the stage does not exist, or the backbone has no
            feature maps.
    """
    names = subject.match.names
    target = _target(options.target, names)
    subject, logits = _choose(subject, options)
    label, p = subject.label, softmax(logits.astype(np.float64), axis=1)
    predicted = p.argmax(axis=1)
    batches = subject.datamodule.predict_dataloader(subject.split, subject.positions)
    faces = torch.cat([batch["image"] for batch in batches])
    try:
        stage = stage_of(subject.model, faces, options.stage)
    except ValueError as error:
        raise UserError(f"explain.stage={options.stage}: {error}") from error

    asked = {"predicted": predicted, "true": label}.get(options.target, np.full(len(label), target))
    classes = [asked, label] if options.target == "predicted" else [asked]
    maps = [
        explain(subject.model, faces, subject.match.columns[k].tolist(), stage=stage, method=options.method)
        for k in classes
    ]
    attention = attention_maps(subject.model, faces[:ATTENTION_FACES])
    examples = [
        Explained(
            face=faces[i].permute(1, 2, 0).numpy(),
            said=names[predicted[i]],
            true=names[label[i]],
            confidence=float(p[i, predicted[i]]),
            maps=[(names[k[i]], m[i]) for k, m in zip(classes, maps, strict=True) if k is asked or k[i] != asked[i]],
        )
        for i in range(len(label))
    ]
    where = f"{subject.protocol}, {subject.split}"
    method = METHODS[options.method].replace("GradCAM", "Grad-CAM")
    title = f"{method} after stage {stage}: {options.words} ({where})"
    plot_saliency(examples, folder / "figures" / "gradcam.png", title)
    if attention:
        plot_attention(
            [example.face for example in examples[:ATTENTION_FACES]],
            [(f"stage {a.stage}", a.weights, a.most_active(options.channels)) for a in attention],
            folder / "figures" / "attention.png",
            f"Attention weights relative to uniform weights ({where})",
        )
    with atomic_path(folder / "maps.npz") as temporary:
        kept: dict[str, Any] = {f"attention_stage{a.stage}_mean": a.mean.astype(np.float16) for a in attention}
        np.savez_compressed(temporary, index=subject.rows, gradcam=maps[0].astype(np.float16), **kept)
    card = {
        "schema_version": 1,
        "suite": "explain",
        **subject.describe(),
        "options": asdict(options),
        "stage": stage,
        "faces": [
            {
                "index": int(row),
                "path": str(subject.datamodule.index.path[row]),
                "true": example.true,
                "predicted": example.said,
                "confidence": example.confidence,
                "explained": names[k],
            }
            for row, example, k in zip(subject.rows.tolist(), examples, asked.tolist(), strict=True)
        ],
        "attention": [
            {"stage": a.stage, "channels": a.weights.shape[1], "map": a.weights.shape[2:]} for a in attention
        ],
        "data_hash": subject.datamodule.data_hash,
        "model": subject.describe_model(),
        "versions": versions(),
    }
    write_json(folder / "explain.json", card)
    Console().print(
        f"\n{counted(len(examples), 'face')} of {subject.protocol}, split {subject.split}: {options.words}."
    )
    if not attention:
        Console().print("The network has no DS attention, so there are no attention weights to show.")
    print_places(folder, Console())
    return card


def _target(name: str, names: Sequence[str]) -> int:
    """Return the class to explain for all faces; -1 if it differs between faces."""
    if name in ("predicted", "true"):
        return -1
    if canonical(name) not in names:
        raise UserError(f"explain.target={name}: {nearest(name, ('predicted', 'true', *names))}")
    return list(names).index(canonical(name))


def _choose(subject: ModelOnSplit, options: Options) -> tuple[ModelOnSplit, NDArray[np.float32]]:
    """Choose the faces, and return them in display order, with their logits."""
    datamodule, split = subject.datamodule, subject.split
    subject.require_faces()
    chosen = subject.positions
    rows = datamodule.splits[split].rows
    if options.rows is not None:
        position = {int(rows[p]): p for p in chosen.tolist()}
        unknown = [row for row in options.rows if row not in position]
        if unknown:
            raise UserError(
                f"explain.rows: {unknown[0]} is not in the {split} split. Rows are the numbers in the column `index` "
                f"of predictions_{split}.csv, here {min(position)} to {max(position)}."
            )
        chosen = np.array([position[row] for row in dict.fromkeys(options.rows)])
    elif options.choice == "sample":
        sample = choose_faces(datamodule, split, subject.match, options.count)
        # the sample can be empty if every class has only one face
        chosen = (sample if len(sample) else chosen)[: options.count]
    subject = replace(subject, positions=chosen)
    with progress_bar() as bar:
        task = bar.add_task(split, total=len(chosen))
        logits = Passes(subject, progress=lambda _, n: bar.advance(task, n)).run("clean", chosen)
    if options.rows is not None or options.choice == "sample":
        order = np.argsort(np.argsort(rows[chosen]))  # predictions are sorted by row
        return subject, logits[order]
    p = softmax(logits.astype(np.float64), axis=1)
    best = surest(p, subject.label, options.count, right=options.choice == "surest")
    if not len(best):
        what = "mistake to show: every prediction is correct" if options.choice == "mistakes" else "correct prediction"
        raise UserError(f"There is no {what}. Use explain.choice=sample for a stratified sample.")
    return replace(subject, positions=chosen[best]), logits[best]
