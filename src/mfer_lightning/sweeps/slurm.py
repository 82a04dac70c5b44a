"""Requeue a SLURM job before its time limit."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable


def requeue_command() -> Callable[[], bool] | None:
    """Return a function that requeues this process's job.

    Returns:
        A function that returns whether SLURM accepted the request; None outside a SLURM job, for an interactive job, or
        if submitit requeues it.
    """
    job = os.environ.get("SLURM_ARRAY_JOB_ID", os.environ.get("SLURM_JOB_ID", ""))
    task = os.environ.get("SLURM_ARRAY_TASK_ID")
    name = job if task is None else f"{job}_{task}"
    interactive = os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive")
    if interactive or "SUBMITIT_FOLDER" in os.environ or not re.fullmatch(r"\d+(_\d+)?", name):
        return None

    def requeue() -> bool:
        scontrol = shutil.which("scontrol")
        return scontrol is not None and subprocess.run([scontrol, "requeue", name], check=False).returncode == 0  # noqa: S603

    return requeue
