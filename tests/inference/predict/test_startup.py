"""The first prediction does not import libraries that only training, reports and videos need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

#: Together they took half of the time to the first prediction.
NEEDLESS = ("lightning", "torchmetrics", "scipy", "matplotlib", "albumentations", "jinja2", "pandas")


def test_prediction_does_not_import_training_or_report_libraries(tmp_path: Path) -> None:
    Image.fromarray(np.full((96, 96, 3), 128, dtype=np.uint8)).save(tmp_path / "photo.png")
    code = (
        "import sys\n"
        "from mfer_lightning.cli import main\n"
        "try:\n"
        "    main(['predict', 'photo.png', 'device=cpu'])\n"
        "except SystemExit as stop:\n"
        "    assert not stop.code, stop.code\n"
        f"print('loaded:', *(name for name in {NEEDLESS} if name in sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "predictions" / "photo.png" / "predictions.csv").is_file()
    assert done.stdout.splitlines()[-1].split() == ["loaded:"], "prediction needs none of these"
