"""Log the verdicts on planned contrasts to W&B: a table and an artifact in a separate run."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mfer_lightning.errors import UserError
from mfer_lightning.files import make_folder, write_text
from mfer_lightning.tracking.run_logger import first_line

#: Name of the table and of the artifact; also the artifact's type and the run's job type.
VERDICTS = "verdicts"

Value = int | float | str | None


@dataclass(frozen=True)
class Verdicts:
    """The outcomes of a study's planned contrasts.

    Args:
        rows: one per contrast, protocol and split, all with the same columns.
        sha256: SHA-256 of the plan's file.
        text: (protocol, split) -> the rows in Markdown, as tables with captions.
    """

    rows: tuple[Mapping[str, Value], ...]
    sha256: str
    text: Mapping[tuple[str, str], str]

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return list(self.rows[0]) if self.rows else []

    def write(self, path: Path) -> None:
        """Write the table as CSV."""
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: "" if value is None else value for key, value in row.items()} for row in self.rows)
        write_text(path, text.getvalue())


def log_verdicts(
    verdicts: Verdicts, folder: Path, *, project: str, entity: str | None, title: str, online: bool
) -> str | None:
    """Log verdicts as a W&B run of the job type ``verdicts``, with a table and an artifact of that name.

    Args:
        verdicts: the verdicts.
        folder: folder for ``verdicts.csv`` and W&B's files.
        project: W&B project.
        entity: W&B user or team; None: the user's default.
        title: title of the dashboard.
        online: upload the run; otherwise write it for ``wandb sync``.

    Returns:
        The URL of the run; None offline.

    Raises:
        UserError: if W&B rejects the run or cannot be reached.
    """
    import wandb

    make_folder(folder)
    table = folder / f"{VERDICTS}.csv"
    verdicts.write(table)
    settings: Any = wandb.Settings(silent=True, console="off", save_code=False, disable_code=True, disable_git=True)
    try:
        run = wandb.init(
            project=project,
            entity=entity or None,
            name=f"{VERDICTS}: {title}"[:128],
            job_type=VERDICTS,
            dir=str(folder.resolve()),
            mode="online" if online else "offline",
            config={"contrasts_sha256": verdicts.sha256},
            reinit="create_new",
            settings=settings,
        )
        try:
            shown = wandb.Table(columns=verdicts.columns, data=[list(row.values()) for row in verdicts.rows])
            run.log({VERDICTS: shown})
            counts = [row["outcome"] for row in verdicts.rows]
            run.summary.update({f"{VERDICTS}/{outcome}": counts.count(outcome) for outcome in dict.fromkeys(counts)})
            artifact = wandb.Artifact(VERDICTS, type=VERDICTS, metadata={"contrasts_sha256": verdicts.sha256})
            artifact.add_file(str(table.resolve()), name=table.name, policy="immutable", skip_cache=True)
            run.log_artifact(artifact)
        finally:
            run.finish()
        # W&B leaves temporary folders until the end of the process, when Python would print warnings about them
        warnings.filterwarnings("ignore", message="Implicitly cleaning up", category=ResourceWarning)
    except (wandb.Error, OSError, ValueError, TimeoutError) as error:
        raise UserError(f"The verdicts could not be logged to W&B: {first_line(error)}") from error
    return str(run.url) if online else None


def verdict_folders(folder: Path) -> Sequence[Path]:
    """Return the offline runs of verdicts in a folder, the newest last."""
    return sorted((folder / "wandb").glob("offline-run-*"), key=lambda path: path.stat().st_mtime_ns)
