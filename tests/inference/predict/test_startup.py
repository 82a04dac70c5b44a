"""A prediction with the bundled model imports only the libraries that it needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

#: Training, evaluation, reports and videos need them; a prediction for a photo does not.
OF_TRAINING = ("lightning", "torchmetrics", "scipy", "matplotlib", "albumentations", "jinja2", "pandas")
#: timm imports torchvision and W&B; torchvision imports torch's compiler, which imports SymPy. The compiler is also
#: imported by the first operation on the meta device and by torch's FLOP counter.
OF_TIMM = ("timm", "torchvision", "wandb", "huggingface_hub", "torch._dynamo", "torch._inductor", "sympy", "triton")
#: Random numbers on the meta device import SymPy in torch 2.6 (not in 2.14), so before 2.14, an imported SymPy does
#: not show that timm was imported.
TORCHS_OWN = ("sympy",) if tuple(map(int, torch.__version__.split(".")[:2])) < (2, 14) else ()
NEEDLESS = tuple(sorted({*OF_TRAINING, *OF_TIMM} - {*TORCHS_OWN}))


def test_prediction_imports_neither_timm_nor_the_libraries_of_training(tmp_path: Path) -> None:
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
