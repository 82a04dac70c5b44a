"""What campaigns have found, each as a small fixed case."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

from mfer_lightning.checkpoints.file_checks import check_class_names
from mfer_lightning.errors import UserError
from mfer_lightning.nn.weights.nearest_backbone import nearest_backbone


def test_a_description_in_the_place_of_class_names_is_not_quoted_whole() -> None:
    with pytest.raises(UserError, match="its class names are") as refusal:
        check_class_names([{"network": ["x"] * 2_000}], Path("model.ckpt"))
    assert len(str(refusal.value)) < 500


def test_the_backbone_that_fits_is_found_in_no_time_after_the_first_file() -> None:
    nearest_backbone({"x": torch.zeros(1)})
    started = time.process_time()
    nearest_backbone({"x": torch.zeros(1)})
    assert time.process_time() - started < 0.5
