"""Log a run to TensorBoard: curves while it trains, figures and hyperparameters when it has ended."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from PIL import Image

from mfer_lightning.tracking import names
from mfer_lightning.tracking.dashboards.tables import markdown
from mfer_lightning.tracking.publication import Publication


class RunTensorBoardLogger(TensorBoardLogger):
    """Lightning's TensorBoard logger for one run folder.

    Differs from Lightning's in that per-epoch test figures (``track_test=true``) are held back until the run has ended.

    Args:
        run_dir: the run's folder; event files go into its ``tensorboard/``.
        config: plain resolved configuration.
        images: whether faces may be handed over.
    """

    checkpoints = False  # TensorBoard keeps none

    def __init__(self, run_dir: Path, config: Mapping[str, Any], *, images: bool) -> None:
        super().__init__(str(run_dir), name="tensorboard", version="", default_hp_metric=False)
        self.hparams = dict(config)
        self.images = images

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log figures of a training step, without those that are held back until the run has ended."""
        super().log_metrics({k: v for k, v in metrics.items() if not k.startswith(names.HIDDEN_PREFIX)}, step)

    @rank_zero_only
    def publish(self, publication: Publication) -> None:
        """Log what a finished run has: hyperparameters with its figures, the table of classes, and pictures."""
        writer, result = self.experiment, publication.result
        step = len(publication.curves)
        # here a figure is a point of a curve: the selected checkpoint's on val must not become one of the last epoch's
        figures = {
            f"{names.SELECTED_PREFIX}{name}" if name.startswith("val/") else name: value
            for name, value in publication.summary().items()
        }
        self.log_hyperparams(dict(result["config"]), metrics=figures, step=step)
        rows = [[_cell(value) for value in row[:5]] for row in publication.class_rows()]
        writer.add_text(names.class_table(result["split"]), markdown(names.CLASS_COLUMNS[:5], rows), step)
        for name, path in publication.figures.items():
            writer.add_image(names.picture(name), _pixels(path), step, dataformats="HWC")
        for name, curve in publication.test_curves().items():
            for epoch, value in curve:
                writer.add_scalar(name, value, epoch)
        if publication.examples is not None:
            writer.add_image(names.EXAMPLE_GRID, _pixels(publication.examples.grid), step, dataformats="HWC")
        writer.flush()


def _cell(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else "–" if value is None else str(value)


def _pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))
