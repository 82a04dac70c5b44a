"""Write the labels that a method changed, and, with label noise, how many of the changes are correct."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from mfer_lightning.data.datasets import FaceDataModule
from mfer_lightning.files import write_text
from mfer_lightning.methods import Method
from mfer_lightning.methods.labels_by_index import UNCHANGED, LabelsByIndex
from mfer_lightning.plurals import counted

#: Name of the table in the run folder.
TABLE = "relabelled.csv"


def write_relabelled(run_dir: Path, method: Method, datamodule: FaceDataModule) -> dict[str, int]:
    """Write ``relabelled.csv``: path, training label, new label and, with label noise, the true label.

    Args:
        run_dir: the run's folder.
        method: method with the state of the selected checkpoint.
        datamodule: a datamodule that is set up.

    Returns:
        ``faces`` (changed), ``training_faces``; with label noise also ``flipped`` (faces with a corrupted label),
        ``mended`` (changed back to the true label), ``still_wrong`` (changed to another wrong label) and ``spoilt``
        (correct labels that were changed). Empty for a method that changes no labels.
    """
    labels = next((part for part in method.modules() if isinstance(part, LabelsByIndex)), None)
    if labels is None:
        return {}
    train, names, manifest = datamodule.splits.train, datamodule.class_names, datamodule.noise_manifest
    truth = {path: true for path, true, _ in manifest.flips} if manifest is not None else {}
    now = labels.changed.cpu().numpy()
    rows: list[tuple[str, ...]] = []
    for row, label in zip(train.rows.tolist(), train.label.tolist(), strict=True):
        if now[row] not in (UNCHANGED, label):
            path, given = str(datamodule.index.path[row]), names[label]
            rows.append((path, given, names[now[row]], truth.get(path, given)))
    known = manifest is not None
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("path", "given", "now", *(("true",) if known else ())))
    writer.writerows(row if known else row[:3] for row in rows)
    write_text(run_dir / TABLE, text.getvalue())
    counts = {"faces": len(rows), "training_faces": len(train)}
    if known:
        mended = sum(after == true for _, given, after, true in rows if given != true)
        spoilt = sum(given == true for _, given, _, true in rows)
        counts |= {
            "flipped": len(truth),
            "mended": mended,
            "still_wrong": len(rows) - mended - spoilt,
            "spoilt": spoilt,
        }
    return counts


def say_relabelled(counts: dict[str, int]) -> str | None:
    """Summarise the result of :func:`write_relabelled` in a sentence; None if the method changes no labels.

    Example:
        >>> say_relabelled({"faces": 2, "training_faces": 10, "flipped": 3, "mended": 1, "still_wrong": 0, "spoilt": 1})
        'labels of 2 of 10 training faces were changed: of 3 wrong labels, 1 was corrected and 0 were ...'
    """
    if not counts:
        return None
    said = f"labels of {counts['faces']:,} of {counted(counts['training_faces'], 'training face')} were changed"
    if "flipped" in counts:
        said += (
            f": of {counted(counts['flipped'], 'wrong label')}, {counted(counts['mended'], 'was', 'were')} corrected "
            f"and {counted(counts['still_wrong'], 'was', 'were')} changed to another wrong label; "
            f"{counted(counts['spoilt'], 'correct label was', 'correct labels were')} changed to a wrong label"
        )
    return said
