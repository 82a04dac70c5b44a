"""``mfer align``: photos in, aligned faces and a report out. No torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mfer_lightning.config.compose import run_verb
from mfer_lightning.errors import UserError, nearest


def main(arguments: Sequence[str]) -> int:
    """Run ``mfer align``.

    Args:
        arguments: the command line after the verb.

    Returns:
        Exit code: 0, or 1 where not one face could be aligned.
    """
    return run_verb("align", _align, arguments)


def _align(config: dict[str, Any]) -> int:
    _check(config)
    from rich.progress import Progress

    from mfer_lightning.align.job import align_photos, build_aligner
    from mfer_lightning.align.plan import plan
    from mfer_lightning.align.report import CENTRE, DONE, Report

    photos = plan(config["source"], config["output"])
    aligner = build_aligner(config)  # before anything is written: an illegal setting leaves no folder behind
    settings = {**aligner.to_config(), **{k: config[k] for k in ("faces", "no_face", "format", "quality", "detector")}}
    output = Path(config["output"]).expanduser()
    report = Report(output, settings)
    before = report.done()
    if config["retry"]:
        again = [name for name, status in before.items() if status not in (DONE, CENTRE)]
        report.forget(again)
        before = {name: status for name, status in before.items() if name not in again}
    left = [photo for photo in photos if photo.name not in before]
    if before:
        print(f"{len(photos) - len(left):,} of {len(photos):,} photos were done before.")
    with Progress(transient=True) as bar:
        task = bar.add_task("align", total=len(left))
        for rows in align_photos(left, config, output, config["workers"]):
            report.append(rows)
            bar.advance(task)
    return _summary(report.rows(), output)


def _summary(rows: Sequence[dict[str, str]], output: Path) -> int:
    from mfer_lightning.align.report import CENTRE, DONE

    photos = {row["photo"]: row for row in rows}
    counts = Counter(row["status"] for row in photos.values())
    several = sum(int(row["faces"]) > 1 for row in photos.values())
    words = ", ".join(f"{n:,} {status}" for status, n in counts.most_common())
    print(f"{len(photos):,} photos: {words}. {several:,} show several faces.")
    for row in [r for r in photos.values() if r["message"]][:5]:
        print(f"  {row['photo']}: {row['message']}")
    print(f"Faces:  {output}\nReport: {output / 'report.csv'}")
    return 0 if counts[DONE] + counts[CENTRE] else 1


def _check(config: dict[str, Any]) -> None:
    legal = {
        "faces": ("largest", "surest", "central", "all", "skip"),
        "no_face": ("skip", "centre"),
        "border": ("black", "edge", "mirror"),
        "format": ("jpg", "png"),
    }
    for option, values in legal.items():
        if config[option] not in values:
            raise UserError(f"{option}={config[option]}: {nearest(config[option], values)}")
    if not 1 <= config["quality"] <= 100:
        raise UserError(f"quality={config['quality']}: the value must be from 1 to 100.")
    if config["workers"] < 0:
        raise UserError(f"workers={config['workers']}: the value must be at least 0.")
    if not isinstance(config["detector"].get("name"), str):
        raise UserError("detector: say its name, e.g. detector.name=mtcnn.")
