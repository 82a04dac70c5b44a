"""Profile the parts of a training step: data, forward, backward, optimiser and others."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from pathlib import Path

import torch
from lightning.pytorch.profilers import Profiler

from mfer_lightning.plurals import counted

#: Lightning's action names -> part of the step, first match wins. Times exclude nested actions.
WORDS = (
    (r"dataloader_next|batch_to_device|on_before_batch_transfer|on_after_batch_transfer", "data"),
    (r"validation_step|val_next|on_validation|evaluation|val_dataloader|on_sanity", "validation"),
    (r"\.training_step$|run_training_batch_forward", "forward and loss"),
    (r"\.backward$|on_before_backward|on_after_backward", "backward"),
    (r"optimizer_step|optimizer_zero_grad|gradient_clipping|on_before_optimizer_step|lr_scheduler_step", "optimiser"),
    (r"WarmEMA", "moving average"),
    (r"save_checkpoint|RunCheckpoint", "checkpoints"),
    (r"\[Callback\]|\[LightningModule\]", "metrics and logging"),
)
#: Name of the remaining time, between the actions above: Lightning's loops.
REST = "loops"

#: Training steps to ignore at the start, which allocate memory and wait for workers to start.
SKIPPED = 2


class StepTimes(Profiler):
    """Add up the times of the actions that Lightning profiles, and print them when the run ends.

    On a GPU, each measurement synchronises with the device, so that time is attributed to the correct part. The run is
    therefore slower than without the profiler, and only the shares are meaningful.

    Args:
        dirpath: folder for ``steps.txt``, created if it is missing.
    """

    def __init__(self, dirpath: str | Path) -> None:
        super().__init__(dirpath=dirpath, filename="steps")
        self.seconds: dict[str, float] = defaultdict(float)
        self.steps = 0
        self._open: list[tuple[str, float, list[float]]] = []  # name, start, seconds of nested actions

    def start(self, action_name: str) -> None:
        """Start an action, nested in those that have not ended."""
        self._open.append((action_name, self._now(), [0.0]))

    def stop(self, action_name: str) -> None:
        """End an action and all actions nested in it; ignored if the action has not been started."""
        if not any(name == action_name for name, _, _ in self._open):
            return
        now = self._now()
        while self._open:  # an action left open by an exception ends with the enclosing one
            name, start, inner = self._open.pop()
            took = now - start
            self.seconds[in_words(name)] += took - inner[0]
            if self._open:
                self._open[-1][2][0] += took
            if name == action_name:
                break
        if action_name == "run_training_batch":
            self.steps += 1
            if self.steps == SKIPPED:
                self.seconds.clear()
                self._open = [(name, now, [0.0]) for name, _, _ in self._open]

    def _now(self) -> float:
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            torch.cuda.synchronize()
        return time.perf_counter()

    def summary(self) -> str:
        """Return a table of milliseconds per training step and percentages by part, largest first."""
        steps = max(self.steps - SKIPPED, 1)
        rows = sorted(((v, k) for k, v in self.seconds.items() if v > 0), reverse=True)
        total = sum(v for v, _ in rows) or 1.0
        lines = [f"Mean time of each part over {counted(steps, 'training step')}:"]
        lines += [f"  {name:<20} {1000 * v / steps:9.2f} ms per step {100 * v / total:6.1f} %" for v, name in rows]
        return "\n".join([*lines, f"  {'total':<20} {1000 * total / steps:9.2f} ms per step"])

    def describe(self) -> None:
        """Print the table, and write it to ``steps.txt``."""
        if self.steps <= SKIPPED or self._local_rank not in (None, 0):
            return
        text = self.summary()
        print(text, flush=True)
        folder = Path(str(self.dirpath))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "steps.txt").write_text(text + "\n", encoding="utf-8")
        self.steps = 0  # Lightning calls this again after prediction


def in_words(action: str) -> str:
    """Return the part of the step for one of Lightning's actions.

    Example:
        >>> in_words("[Strategy]SingleDeviceStrategy.backward"), in_words("run_training_epoch")
        ('backward', 'loops')
    """
    return next((words for pattern, words in WORDS if re.search(pattern, action)), REST)
