"""Log a run to TensorBoard: curves during training, figures and hyperparameters at the end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image

from mfer_lightning.tracking import names
from mfer_lightning.tracking.dashboards.tables import markdown
from mfer_lightning.tracking.publication import Publication
from mfer_lightning.tracking.run_logger import RunLogger


class RunTensorBoardLogger(RunLogger, TensorBoardLogger):
    """Lightning's TensorBoard logger for one run folder.

    Args:
        run_dir: the run's folder; event files go into its ``tensorboard/``.
        config: plain resolved configuration.
        images: whether faces may be logged.
        **options: further arguments of Lightning's class and of torch's ``SummaryWriter``.
    """

    service = "TensorBoard"

    def __init__(self, run_dir: Path, config: Mapping[str, Any], *, images: bool, **options: Any) -> None:
        usual = {"save_dir": str(run_dir), "name": "tensorboard", "version": "", "default_hp_metric": False}
        super().__init__(**{**usual, **options})
        self.hparams = dict(config)
        self.images = images

    def _publish(self, publication: Publication) -> None:
        writer, result = self.experiment, publication.result
        step = len(publication.curves)
        TensorBoardLogger.log_hyperparams(self, dict(result["config"]), metrics=publication.points(), step=step)
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
