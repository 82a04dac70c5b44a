"""The implementation chosen for a dense convolution, as a table."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mfer_lightning.nn.convolution import Shape, choose, forced_ways, plain_convolutions, ways_for
from mfer_lightning.nn.convolution.choice import LIBRARY, TAPS, TURNED, UNFOLD

STAGE_3, STAGE_4 = Shape(512, 512, 14, 14, 7, 7), Shape(1024, 1024, 7, 7, 7, 7)  # of MFER-Base at 224 pixels


@pytest.mark.parametrize(
    ("device", "dtype", "shape", "wanted"),
    [
        ("cuda", torch.bfloat16, STAGE_3, TURNED),
        ("cuda", torch.float16, STAGE_3, TURNED),
        ("cuda", torch.bfloat16, STAGE_4, UNFOLD),
        ("cuda", torch.float32, STAGE_4, LIBRARY),
        ("cuda", torch.float64, STAGE_4, LIBRARY),
        ("cuda", torch.bfloat16, Shape(512, 512, 10, 10, 7, 7), UNFOLD),  # too small for cuDNN to be fast
        ("cuda", torch.bfloat16, Shape(1024, 1024, 14, 14, 7, 7), UNFOLD),  # more channels
        ("cuda", torch.bfloat16, Shape(128, 512, 14, 14, 7, 7), LIBRARY),  # few channels
        ("cuda", torch.bfloat16, Shape(512, 512, 14, 14, 3, 3), LIBRARY),  # few taps
        ("cuda", torch.bfloat16, Shape(1024, 1024, 2, 2, 7, 7), LIBRARY),  # few taps that can overlap the map
        ("cuda", torch.bfloat16, Shape(1024, 1024, 4, 4, 7, 7), UNFOLD),
        ("cpu", torch.bfloat16, STAGE_3, LIBRARY),  # little padding to skip
        ("cpu", torch.bfloat16, STAGE_4, TAPS),
        ("cpu", torch.float32, STAGE_4, TAPS),
        ("cpu", torch.bfloat16, Shape(64, 64, 7, 7, 7, 7), LIBRARY),
        ("mps", torch.bfloat16, STAGE_4, LIBRARY),
        ("meta", torch.bfloat16, STAGE_4, LIBRARY),
    ],
)
def test_implementation_for_each_device_dtype_and_shape(device, dtype, shape, wanted):
    assert choose(device, dtype, shape) == wanted


def test_implementation_depends_on_the_shape_unless_grouped_or_plain():
    conv, maps = nn.Conv2d(256, 256, 7, padding=3), torch.zeros(1, 256, 7, 7)
    assert ways_for(conv, maps) == TAPS
    assert ways_for(conv, torch.zeros(1, 256, 14, 14)) == LIBRARY
    assert ways_for(conv, maps.to("meta")) == LIBRARY
    assert ways_for(nn.Conv2d(256, 256, 7, padding=3, groups=256), maps) == LIBRARY
    with plain_convolutions():
        assert ways_for(conv, maps) == LIBRARY
    with forced_ways(UNFOLD):
        assert ways_for(conv, torch.zeros(1, 256, 14, 14)) == UNFOLD
    assert ways_for(conv, maps) == TAPS


def test_dtype_follows_autocast(monkeypatch):
    import mfer_lightning.nn.convolution.same_size as module

    seen = []
    monkeypatch.setattr(module, "choose", lambda device, dtype, shape: seen.append(dtype) or LIBRARY)
    conv, maps = nn.Conv2d(2, 2, 7, padding=3), torch.zeros(1, 2, 7, 7)
    ways_for(conv, maps)
    with torch.autocast("cpu", torch.bfloat16):
        ways_for(conv, maps)
        ways_for(conv, maps.double())
    assert seen == [torch.float32, torch.bfloat16, torch.float64]
