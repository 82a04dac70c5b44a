"""Convert tables, images and artifacts of a finished run to W&B objects."""

from __future__ import annotations

import re
from typing import Any

from mfer_lightning.tracking import names
from mfer_lightning.tracking.publication import Examples, Publication

#: Characters that W&B does not allow in the name of an artifact, and the maximum length of the name.
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_.-]")
_LONGEST_NAME = 128


def media(publication: Publication) -> dict[str, Any]:
    """Create the objects to log in one row at the end of a run.

    Args:
        publication: the finished run.

    Returns:
        Name -> W&B object: the tables of metrics and classes, the confusion matrix as an interactive chart, the figures
        in the run's folder, test metrics by epoch if they were recorded, and examples if they may be uploaded.
    """
    import wandb

    result, table = publication.result, publication.table
    split, class_names = result["split"], list(result["class_names"])
    known = table.label >= 0
    row: dict[str, Any] = {
        names.figure_table(split): wandb.Table(columns=list(names.FIGURE_COLUMNS), data=[publication.figure_row()]),
        names.class_table(split): wandb.Table(columns=list(names.CLASS_COLUMNS), data=publication.class_rows()),
        names.confusion(split): wandb.plot.confusion_matrix(
            y_true=table.label[known].tolist(),
            preds=table.pred[known].tolist(),
            class_names=class_names,
            title=f"Confusion matrix ({result['protocol']}, {split})",
        ),
    }
    row |= {names.picture(name): wandb.Image(str(path)) for name, path in publication.figures.items()}
    curves = publication.test_curves()
    if curves:
        data = [[name, epoch, value] for name, curve in curves.items() for epoch, value in curve]
        row[names.HIDDEN_PREFIX + "by_epoch"] = wandb.Table(columns=["metric", names.EPOCH, "value"], data=data)
    if publication.examples is not None:
        row[names.EXAMPLE_GRID] = wandb.Image(str(publication.examples.grid))
        row[names.EXAMPLE_TABLE] = _example_table(publication, publication.examples)
    return row


def _example_table(publication: Publication, examples: Examples) -> Any:
    import wandb

    table = publication.table
    class_names = list(table.class_names)
    rows = wandb.Table(columns=[*names.EXAMPLE_COLUMNS, *(f"p_{name}" for name in class_names)])
    for row, kind, face in zip(examples.rows, examples.kinds, examples.faces, strict=True):
        p = table.probabilities[row]
        true, said = class_names[table.label[row]], class_names[table.pred[row]]
        rows.add_data(wandb.Image(face), kind, true, said, float(p.max()), str(table.path[row]), *map(float, p))
    return rows


def checkpoint_artifact(publication: Publication, name: str) -> Any:
    """Create the artifact of the selected checkpoint.

    The file is uploaded directly from the run's folder: W&B makes no local copy.

    Args:
        publication: the finished run, with a checkpoint.
        name: name of the run.
    """
    import wandb

    assert publication.checkpoint is not None
    result = publication.result
    artifact = wandb.Artifact(
        _NOT_IN_A_NAME.sub("-", name)[:_LONGEST_NAME],
        type="model",
        description=f"{result['evaluation_set']}; {result['selection']['rule']}",
        metadata={
            "protocol": result["protocol"],
            "split": result["split"],
            "epoch": result["selection"]["epoch"],
            "class_names": list(result["class_names"]),
            **publication.summary(),
        },
    )
    path = publication.checkpoint.resolve()
    artifact.add_file(str(path), name=path.name, policy="immutable", skip_cache=True)
    return artifact
