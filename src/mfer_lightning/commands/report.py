"""Run ``mfer report``: what finished runs show, and which of their differences are real."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mfer_lightning.config.compose import run_verb
from mfer_lightning.errors import UserError, nearest
from mfer_lightning.evaluation.runs import folder_of, is_place, run_folders

METRICS = ("accuracy", "mean_class_accuracy")
EMBEDDINGS = ("tsne", "pca", "none")


def main(arguments: Sequence[str]) -> int:
    """Run ``mfer report``.

    Args:
        arguments: the command line after the verb: folders and options.

    Returns:
        Exit code: 0.
    """
    return run_verb("report", _report, overrides(arguments))


def overrides(arguments: Sequence[str]) -> list[str]:
    """Write folders on the command line as ``runs=[...]``, and quote what Hydra would take apart.

    Example:
        >>> overrides(["runs/a", "metric=accuracy", "baseline=loss=ce,attention=none"])
        ["runs=['runs/a']", 'metric=accuracy', "baseline='loss=ce,attention=none'"]
    """
    folders = [a for a in arguments if not a.startswith("-") and ("=" not in a or Path(a).expanduser().exists())]
    rest = []
    for word in arguments:
        key, equals, value = word.partition("=")
        if word in folders:
            continue
        takes_text = key in ("baseline", "title", "output", "keep", "contrasts") and value and value[0] not in "'\"[{$"
        rest.append(f"{key}={_quoted(value)}" if equals and takes_text and value != "null" else word)
    if not folders:
        return rest
    if any(word.startswith("runs=") for word in rest):
        raise UserError("Name the folders either one by one or as runs=[...], not both.")
    return [f"runs=[{','.join(map(_quoted, folders))}]", *rest]


def report_on_sweep(sweep_dir: Path, arguments: Sequence[str]) -> None:
    """Make the report of a sweep that has just ended, unless it is unwanted; whatever fails is said in one line.

    Args:
        sweep_dir: the sweep's folder.
        arguments: the command line that started it; ``report=false`` turns the report off.
    """
    try:
        if not _wanted(sweep_dir, arguments):
            return
        from mfer_lightning.reporting.pages.document import Options
        from mfer_lightning.reporting.pages.write import PAGE, write_report

        write_report([str(sweep_dir)], sweep_dir / "report", Options())
        print(f"Report: {sweep_dir / 'report' / PAGE}")
    except Exception as error:  # the sweep is done, whatever becomes of its report
        words = " ".join(str(error).split()) or type(error).__name__
        print(f"No report was made ({words}). Try again with: mfer report {sweep_dir}")


def _wanted(sweep_dir: Path, arguments: Sequence[str]) -> bool:
    said = [a.lstrip("+").partition("=")[2].strip().lower() for a in arguments if a.lstrip("+").startswith("report=")]
    if said:
        return said[-1] not in ("false", "no", "off", "0")
    import yaml

    composed = sweep_dir / "multirun.yaml"  # what Hydra composed for this start of the sweep
    found = yaml.safe_load(composed.read_text(encoding="utf-8")) if composed.is_file() else None
    return bool(found.get("report", True)) if isinstance(found, dict) else True


def _report(config: dict[str, Any]) -> int:
    folders = run_folders(config["runs"], "mfer report ")
    for option, legal in (("metric", METRICS), ("embedding", EMBEDDINGS)):
        if config[option] not in legal:
            raise UserError(f"{option}={config[option]}: {nearest(config[option], legal)}")
    if config["embedding_points"] < 0:
        raise UserError(f"embedding_points={config['embedding_points']}: the value must be at least 0.")
    for folder in folders:
        if not is_place(folder):
            raise UserError(
                f"There is no folder {folder}: mfer report <a sweep, a run, a folder of runs or a study's archive>."
            )
    if config["keep"] is not None:
        if not config["keep"]:
            raise UserError("keep= has no value: name a folder for the runs' numbers, or leave the option out.")
        from mfer_lightning.evaluation.keep_study import check_place

        check_place(folders, config["keep"])  # now: a report takes a while

    from rich.console import Console

    from mfer_lightning.reporting.pages.document import Options
    from mfer_lightning.reporting.pages.write import PAGE, write_report
    from mfer_lightning.reporting.study.contrast_plan import read_plan

    output = Path(config["output"] or folder_of(folders[0]) / "report").expanduser()
    options = Options(
        title=config["title"] or "",
        baseline=config["baseline"],
        metric=config["metric"],
        axes=tuple(config["axes"]),
        embedding=config["embedding"],
        embedding_points=config["embedding_points"],
        plan=None if config["contrasts"] is None else read_plan(config["contrasts"]),
    )
    started = time.perf_counter()
    with Console(stderr=True).status("reading runs") as status:
        document = write_report(folders, output, options, status.update)
    for chapter in document.chapters:
        print(f"{chapter.section.title}: baseline {chapter.section.baseline.label}")
        for finding in chapter.findings:
            print(f"  {finding}")
    for name, reason in document.left_out:
        print(f"Left out: {name} {reason}")
    print(f"Report: {output / PAGE} ({time.perf_counter() - started:.1f} s)")
    if config["keep"] is not None:
        _keep(folders, config["keep"])
    return 0


def _keep(folders: Sequence[str], into: str) -> None:
    """Keep the numbers that the report was made of."""
    from rich.console import Console

    from mfer_lightning.evaluation.keep_study import keep_study
    from mfer_lightning.reporting.study.provenance import said_once

    with Console(stderr=True).status("keeping numbers"):
        kept = keep_study(folders, into)
    for name, reason in said_once(kept.left_out):
        print(f"Not kept: {name} {reason}")
    new, count = len(kept.written), len(kept.written) + len(kept.unchanged)
    print(f"Kept: {count} run{'s' * (count != 1)} in {into} ({kept.size / 1000:,.0f} kB), {new} of them new or changed")


def _quoted(value: str) -> str:
    """Quote text for Hydra's grammar."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
