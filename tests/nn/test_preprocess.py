"""Preprocessing: against a plain implementation and PIL, errors, and storage in a checkpoint."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from mfer_lightning.errors import UserError
from mfer_lightning.nn.preprocess import NORMALISATIONS, Preprocess


def pixels(side: int = 48, batch: int = 2, seed: int = 0) -> torch.Tensor:
    """Blobs and noise: smooth and sharp content both."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (batch, 3, 4, 4)).repeat(side // 4, 2).repeat(side // 4, 3)
    noise = rng.integers(-40, 41, (batch, 3, side, side))
    return torch.from_numpy(np.clip(coarse + noise, 0, 255).astype(np.uint8))


@pytest.mark.parametrize("name", list(NORMALISATIONS))
def test_normalisation_matches_the_formula(name):
    x = pixels()
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in NORMALISATIONS[name])
    out = Preprocess(size=None, mean=name, std=name)(x)
    torch.testing.assert_close(out, (x / 255 - mean) / std, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [20, 48, 90])
def test_resize_matches_pil(size, interpolation):
    x = pixels()
    if interpolation == "bicubic":
        x = x // 3 + 80  # away from black and white, where PIL clips the overshoot after each axis, not only at the end
    out = Preprocess(size=size, mean="none", std="none", interpolation=interpolation)(x) * 255
    method = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}[interpolation]
    for got, image in zip(out, x, strict=True):
        pil = Image.fromarray(image.permute(1, 2, 0).numpy()).resize((size, size), method)
        expected = torch.from_numpy(np.asarray(pil).copy()).permute(2, 0, 1).float()
        assert (got - expected).abs().max() < 1.2  # PIL rounds to whole grey levels twice, once per axis
        assert (got - expected).abs().mean() < 0.4


def test_downscaling_without_antialias_samples_single_pixels():
    x = pixels()
    sharp = Preprocess(size=12, mean="none", std="none", antialias=False)(x)
    smooth = Preprocess(size=12, mean="none", std="none")(x)
    assert sharp.std() > 1.05 * smooth.std()


def test_bicubic_stays_within_the_pixel_range():
    x = torch.zeros(1, 3, 16, 16, dtype=torch.uint8)
    x[..., 8:] = 255
    out = Preprocess(size=64, mean="none", std="none", interpolation="bicubic")(x)
    assert out.min() == 0
    assert out.max() == 1


def test_matching_size_is_not_resized():
    x = pixels()
    torch.testing.assert_close(Preprocess(size=48)(x), Preprocess(size=None)(x), rtol=0, atol=0)


def test_bgr_networks_get_blue_first():
    x = pixels()
    out = Preprocess(size=None, mean=(0.1, 0.2, 0.3), std=(1, 1, 1), colour="BGR")(x)
    torch.testing.assert_close(out[:, 0], x[:, 2] / 255 - 0.1)
    torch.testing.assert_close(out[:, 2], x[:, 0] / 255 - 0.3)


@pytest.mark.parametrize("size", [None, 32])
def test_memory_format_is_the_requested_one(size):
    plain, last = Preprocess(size=size), Preprocess(size=size, channels_last=True)
    assert plain(pixels()).is_contiguous()
    assert last(pixels()).is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(plain(pixels()), last(pixels()))


def test_batch_is_not_modified_and_the_state_dict_is_empty():
    x = pixels()
    before = x.clone()
    preprocess = Preprocess(size=32)
    preprocess(x)
    assert torch.equal(x, before)
    assert preprocess.state_dict() == {}


def test_buffers_follow_the_device():
    out = Preprocess(size=32).to("meta")(torch.empty(2, 3, 48, 48, dtype=torch.uint8, device="meta"))
    assert out.device.type == "meta"
    assert out.shape == (2, 3, 32, 32)


@pytest.mark.parametrize(
    "image", [torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8, dtype=torch.int64), torch.zeros(1, 3, 8, 8).half()]
)
def test_float_images_are_rejected(image):
    with pytest.raises(ValueError, match="`image` to be uint8"):
        Preprocess()(image)


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 1, 8, 8), (1, 8, 8, 3)])
def test_other_shapes_are_rejected(shape):
    with pytest.raises(ValueError, match=r"shape \(B, 3, H, W\)"):
        Preprocess()(torch.zeros(shape, dtype=torch.uint8))


def test_config_round_trips_through_json():
    first = Preprocess(
        size=112, mean=(0.1, 0.2, 0.3), std="half", interpolation="bicubic", antialias=False, colour="BGR",
        alignment="template@1", channels_last=True,
    )  # fmt: skip
    second = Preprocess.from_config(json.loads(json.dumps(first.to_config())))
    assert second.to_config() == first.to_config()
    assert second.alignment == "template@1"
    assert torch.equal(second(pixels()), first(pixels()))


def test_invalid_config_raises_user_error():
    with pytest.raises(UserError, match=r"no option 'sise': did you mean 'size'\?"):
        Preprocess.from_config({"sise": 224})
    with pytest.raises(UserError, match="interpolation"):
        Preprocess.from_config({"interpolation": "nearest"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "`size` to be a positive integer or None, but got 0"),
        ({"size": "224"}, "`size` to be a positive integer"),
        ({"mean": "imagnet"}, "`mean` to be three numbers or one of"),
        ({"mean": (123.7, 116.3, 103.5)}, r"`mean` to be three numbers in 0..1 \(not 0..255\)"),
        ({"std": (1, 1)}, "`std` to be three numbers"),
        ({"std": (1, 1, 0)}, "`std` to contain numbers above 0"),
        ({"interpolation": "nearest"}, r"`interpolation` to be one of \('bilinear', 'bicubic'\)"),
        ({"colour": "rgb"}, r"`colour` to be one of \('RGB', 'BGR'\), but got 'rgb'"),
        ({"alignment": 5}, "`alignment` to be a name or None"),
    ],
)
def test_invalid_arguments_list_the_valid_ones(options, message):
    with pytest.raises(ValueError, match=message):
        Preprocess(**options)


def test_grey_matches_pil_and_keeps_grey_images_bit_identical() -> None:
    colour = np.random.default_rng(0).integers(0, 256, (2, 33, 31, 3), dtype=np.uint8)
    images = torch.from_numpy(colour).permute(0, 3, 1, 2)
    plain = Preprocess(size=None, mean="none", std="none")
    taken = Preprocess(size=None, mean="none", std="none", grey=True)
    expected = np.stack([np.asarray(Image.fromarray(image).convert("L")) for image in colour])
    np.testing.assert_array_equal((taken(images) * 255).round().numpy(), np.repeat(expected[:, None], 3, 1))
    grey = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, 3, 16, 16)
    for options in ({}, {"size": 32}, {"size": 8}, {"colour": "BGR"}):
        shape = {"size": None, **options}
        assert torch.equal(Preprocess(**shape, grey=True)(grey), Preprocess(**shape)(grey))
    swapped = Preprocess(size=None, mean="none", std="none", grey=True, colour="BGR")
    assert torch.equal(swapped(images), taken(images))
    assert plain.to_config()["grey"] is False
