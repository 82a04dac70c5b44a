"""``mfer evaluate suite=explain``: Grad-CAM of chosen faces, and the attention modules' own weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from scipy.special import softmax
from torch import Tensor

from mfer_lightning.analysis.attention import AttentionMaps, attention_maps
from mfer_lightning.analysis.cached_passes import Faces, Passes, choose_faces
from mfer_lightning.analysis.gradcam import METHODS, explain, require_package, stage_of
from mfer_lightning.analysis.model_and_faces import Subject, describe_model, open_subject
from mfer_lightning.emotions import canonical
from mfer_lightning.errors import UserError, nearest
from mfer_lightning.figures.example_grid import surest
from mfer_lightning.figures.saliency import Explained, plot_attention, plot_saliency
from mfer_lightning.files import atomic_path, write_json
from mfer_lightning.report.terminal.results import print_places
from mfer_lightning.tracking.provenance import versions

CHOICES = ("mistakes", "surest", "sample")

#: Faces in the figure of attention weights, which has a row for each.
ATTENTION_FACES = 8


def explain_checkpoint(config: Mapping[str, Any], options: Sequence[str] = ()) -> Path:
    """Draw where a checkpoint looks, as ``mfer evaluate`` was asked to.

    Args:
        config: plain resolved configuration of ``mfer evaluate``.
        options: ``dataset.<option>=<value>``.

    Returns:
        The folder of the results: ``explain.json`` (written last), ``maps.npz``, ``figures/gradcam.png`` and, with
        attention, ``figures/attention.png``.

    Raises:
        UserError: for whatever the user can mend.
    """
    wished = config["explain"]
    _check(wished)
    require_package()
    subject = open_subject(config, options, suffix="-explain")
    target = _target(wished["target"], subject)
    faces, logits = _chosen(subject, wished)
    label, p = faces.label, softmax(logits.astype(np.float64), axis=1)
    said = p.argmax(axis=1)
    asked = {"predicted": said, "true": label}.get(wished["target"], np.full(len(said), target))
    pictures = _pictures(faces)
    try:
        stage = stage_of(subject.model, pictures, wished["stage"])
    except ValueError as error:
        raise UserError(f"explain.stage={wished['stage']}: {error}") from error

    shown = [asked, label] if wished["target"] == "predicted" else [asked]
    maps = [
        explain(subject.model, pictures, faces.match.columns[k].tolist(), stage=stage, method=wished["method"])
        for k in shown
    ]
    attention = attention_maps(subject.model, pictures[:ATTENTION_FACES])

    names = faces.match.names
    examples = [
        Explained(
            face=pictures[i].permute(1, 2, 0).numpy(),
            said=names[said[i]],
            true=names[label[i]],
            confidence=float(p[i, said[i]]),
            maps=[(names[k[i]], m[i]) for k, m in zip(shown, maps, strict=True) if k is asked or k[i] != asked[i]],
        )
        for i in range(len(label))
    ]
    _write(subject, wished, stage, faces, examples, maps, asked, attention)
    Console().print(f"\n{len(examples)} faces of {subject.protocol}, split {subject.split}: {_words(wished)}.")
    if not attention:
        Console().print("The network has no DS attention, so there are no weights of it to show.")
    print_places(subject.folder, Console())
    return subject.folder


def _check(wished: Mapping[str, Any]) -> None:
    if wished["choice"] not in CHOICES:
        raise UserError(f"explain.choice={wished['choice']}: {nearest(wished['choice'], CHOICES)}")
    if wished["method"] not in METHODS:
        raise UserError(f"explain.method={wished['method']}: {nearest(wished['method'], METHODS)}")
    for option, least, most in (("count", 1, 200), ("channels", 0, 12)):
        if not least <= wished[option] <= most:
            raise UserError(f"explain.{option}={wished[option]}: the value must lie between {least} and {most}.")
    if wished["rows"] is not None and not 1 <= len(wished["rows"]) <= 200:
        raise UserError(f"explain.rows names {len(wished['rows'])} faces: give 1 to 200 numbers, or null.")


def _target(name: str, subject: Subject) -> int:
    """Return the class whose evidence is asked for of every face; -1 where it differs from face to face."""
    names = subject.match.names
    if name in ("predicted", "true"):
        return -1
    if canonical(name) not in names:
        raise UserError(f"explain.target={name}: {nearest(name, ('predicted', 'true', *names))}")
    return names.index(canonical(name))


def _chosen(subject: Subject, wished: Mapping[str, Any]) -> tuple[Faces, NDArray[np.float32]]:
    """Choose the faces, and return them in the order in which they are shown, with their logits."""
    datamodule, split, match = subject.datamodule, subject.split, subject.match
    every = choose_faces(datamodule, split, match)
    if len(every) == 0:
        datamodule.predict_dataloader(split)  # says why there are none
        raise UserError(f"drop leaves no face of the {split} split.")
    rows = datamodule.splits[split].rows
    if wished["rows"] is not None:
        place = {int(rows[p]): p for p in every.tolist()}
        unknown = [row for row in wished["rows"] if row not in place]
        if unknown:
            raise UserError(
                f"explain.rows: {unknown[0]} is no face of the {split} split. Rows are the numbers in the column index "
                f"of predictions_{split}.csv, here {min(place)} to {max(place)}."
            )
        every = np.array([place[row] for row in dict.fromkeys(wished["rows"])])
    elif wished["choice"] == "sample":
        every = choose_faces(datamodule, split, match, wished["count"])[: wished["count"]]
        if not len(every):  # fewer than the classes would give one each
            every = choose_faces(datamodule, split, match)[: wished["count"]]
    faces = Faces(subject.model, datamodule, split, every, match, subject.views)
    with Progress(transient=True) as bar:
        task = bar.add_task(split, total=len(every))
        logits = Passes(faces, progress=lambda _, n: bar.advance(task, n)).run("clean", every)
    if wished["rows"] is not None or wished["choice"] == "sample":
        order = np.argsort(np.argsort(rows[every]))  # predictions come back sorted by row
        return faces, logits[order]
    p = softmax(logits.astype(np.float64), axis=1)
    best = surest(p, faces.label, wished["count"], right=wished["choice"] == "surest")
    if not len(best):
        what = "mistake to show: every prediction is right" if wished["choice"] == "mistakes" else "right prediction"
        raise UserError(f"There is no {what}. Say explain.choice=sample for a stratified sample.")
    return Faces(subject.model, datamodule, split, every[best], match, subject.views), logits[best]


def _pictures(faces: Faces) -> Tensor:
    batches = faces.datamodule.predict_dataloader(faces.split, faces.positions)
    return torch.cat([batch["image"] for batch in batches])


def _write(
    subject: Subject,
    wished: Mapping[str, Any],
    stage: int,
    faces: Faces,
    examples: Sequence[Explained],
    maps: Sequence[NDArray[np.float32]],
    asked: NDArray[np.int64],
    attention: Sequence[AttentionMaps],
) -> None:
    folder, where = subject.folder, f"{subject.protocol}, {subject.split}"
    title = (
        f"{METHODS[wished['method']].replace('GradCAM', 'Grad-CAM')} after stage {stage}: {_words(wished)} ({where})"
    )
    plot_saliency(examples, folder / "figures" / "gradcam.png", title)
    if attention:
        plot_attention(
            [example.face for example in examples[:ATTENTION_FACES]],
            [(f"stage {a.stage}", a.weights, a.most_active(wished["channels"])) for a in attention],
            folder / "figures" / "attention.png",
            f"Attention weights, 1 = even over the map ({where})",
        )
    with atomic_path(folder / "maps.npz") as temporary:
        kept: dict[str, Any] = {f"attention_stage{a.stage}_mean": a.mean.astype(np.float16) for a in attention}
        np.savez_compressed(temporary, index=faces.rows, gradcam=maps[0].astype(np.float16), **kept)
    names = faces.match.names
    shown = [
        {
            "index": int(row),
            "path": str(subject.datamodule.index.path[row]),
            "true": example.true,
            "predicted": example.said,
            "confidence": example.confidence,
            "explained": names[k],
        }
        for row, example, k in zip(faces.rows.tolist(), examples, asked.tolist(), strict=True)
    ]
    card = {
        "schema_version": 1,
        "suite": "explain",
        "dataset": subject.spec.get("name", subject.datamodule.dataset),
        "protocol": subject.protocol,
        "split": subject.split,
        "evaluation_set": subject.evaluation_set,
        "options": dict(wished),
        "stage": stage,
        "faces": shown,
        "attention": [
            {"stage": a.stage, "channels": a.weights.shape[1], "map": a.weights.shape[2:]} for a in attention
        ],
        "data_hash": subject.datamodule.data_hash,
        "model": describe_model(subject.model, subject.views),
        "versions": versions(),
    }
    write_json(folder / "explain.json", card)


def _words(wished: Mapping[str, Any]) -> str:
    if wished["rows"] is not None:
        return "chosen faces"
    choices = {
        "mistakes": "surest mistakes",
        "surest": "surest of the right predictions",
        "sample": "stratified sample",
    }
    return choices[wished["choice"]]
