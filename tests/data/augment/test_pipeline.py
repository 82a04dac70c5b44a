"""Custom pipelines: from Python, from a configuration, with changed options; and rejected ones."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import albumentations as A
import numpy as np
import pytest
from data.trees import picture

from mfer_lightning.config.augment_forms import presets
from mfer_lightning.config.plugins import plugins_loaded
from mfer_lightning.data import FacsDataModule
from mfer_lightning.data.augment import Augment, RandomLight, RandomWarp, build_augment
from mfer_lightning.data.augment.build import describe_augment
from mfer_lightning.errors import UserError

FACES = np.stack([picture(np.random.default_rng(i), 48) for i in range(24)])
ROWS = np.arange(100, 124)
STANDARD = {"name": "standard", **presets()["standard"]}
BLUR = {"_target_": "albumentations.GaussianBlur", "p": 0.5}


def run(spec: Any, seed: int = 0, epoch: int = 0, pick: slice | np.ndarray = slice(None)) -> np.ndarray:
    augment = build_augment(spec)
    if augment is None:
        return FACES[pick].copy()
    return augment(FACES[pick].copy(), seed, np.full(len(ROWS[pick]), epoch), ROWS[pick])


def options(target: str, **values: Any) -> dict[str, Any]:
    return {"_target_": target, **values}


def test_single_transforms_can_be_disabled_changed_removed_or_added() -> None:
    off = run({**STANDARD, "flip": {**STANDARD["flip"], "p": 0}})
    np.testing.assert_array_equal(off, run({"name": "standard", "flip": 0}))
    np.testing.assert_array_equal(run({**STANDARD, "flip": None}), off)
    turned = run({**STANDARD, "warp": {**STANDARD["warp"], "rotate": 20}})
    np.testing.assert_array_equal(turned, run({**STANDARD, "rotate": 20}))
    assert (turned != run("standard")).any()
    blurred = run({**STANDARD, "blur": BLUR})
    kept = (blurred == run("standard")).all(axis=(1, 2, 3))
    assert 3 < kept.sum() < 21
    assert build_augment(dict.fromkeys(STANDARD) | {"name": "standard"}) is None


def test_pipelines_are_built_from_names_lists_and_compose() -> None:
    listed = [A.HorizontalFlip(p=0.5), RandomWarp(0.06, 0.1, 12), RandomLight(0.15, 0.2)]
    np.testing.assert_array_equal(run(listed), run("standard"))
    for spec in (
        A.Compose([A.HorizontalFlip(), RandomWarp(rotate=20), A.GaussianBlur()]),
        A.Affine(rotate=(-20, 20), p=1),
    ):
        assert (run(spec) != FACES).any()
        np.testing.assert_array_equal(run(spec), run(spec))
        assert (run(spec, seed=1) != run(spec)).any()


@pytest.mark.parametrize(
    "spec",
    [
        {**STANDARD, "blur": BLUR, "again": STANDARD["flip"], "noise": options("albumentations.GaussNoise", p=0.5)},
        [A.GaussianBlur(), RandomWarp(shift=0.2, p=0.5), A.OneOf([A.ToGray(), RandomLight(0.3)])],
        A.Compose([A.HorizontalFlip(), A.CoarseDropout(p=0.5)], p=0.7),
    ],
)
def test_augmentation_depends_only_on_seed_epoch_and_row(spec: Any) -> None:
    whole = run(spec, epoch=3)
    order = np.random.default_rng(0).permutation(24)
    np.testing.assert_array_equal(run(spec, epoch=3, pick=order), whole[order])
    np.testing.assert_array_equal(run(spec, epoch=3, pick=slice(7, 8))[0], whole[7])
    assert (run(spec, epoch=4) != whole).any()
    assert (run(spec, epoch=3, seed=1) != whole).any()
    augment = pickle.loads(pickle.dumps(build_augment(spec)))
    np.testing.assert_array_equal(augment(FACES.copy(), 0, np.full(24, 3), ROWS), whole)


def test_repeated_transform_draws_independently() -> None:
    once = run([A.HorizontalFlip(p=0.5)])
    twice = run([A.HorizontalFlip(p=0.5), A.HorizontalFlip(p=0.5)])
    flipped = (twice != FACES).any(axis=(1, 2, 3))
    assert 4 < flipped.sum() < 20  # with the same numbers the second would undo the first
    assert (once != twice).any()
    noise = A.GaussNoise(std_range=(0.1, 0.1), p=1)
    apart = run([noise, A.HorizontalFlip(p=1), noise]).astype(int) - FACES[:, :, ::-1]
    left, right = apart[..., :24, 0].ravel(), apart[..., ::-1, 0][..., :24].ravel()
    assert abs(np.corrcoef(left, right)[0, 1]) < 0.5


def test_transform_probability_is_respected() -> None:
    faces = np.full((2000, 4, 4, 3), 100, dtype=np.uint8)
    augment = Augment([RandomLight(brightness=0.3, p=0.25)])
    changed = (augment(faces, 0, np.zeros(2000, dtype=np.int64), np.arange(2000)) != 100).any(axis=(1, 2, 3))
    assert 0.2 < changed.mean() < 0.3


@pytest.mark.parametrize("shape", [(48, 48, 3), (48, 40, 3), (32, 32, 1), (32, 32)])
@pytest.mark.parametrize("transform", [RandomWarp(0.1, 0.1, 30), RandomLight(0.2, 0.2)], ids=["warp", "light"])
def test_own_transforms_work_like_albumentations_transforms(
    transform: A.BasicTransform, shape: tuple[int, ...]
) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    before = image.copy()
    compose = A.Compose([A.OneOf([transform], p=1)], seed=3, strict=True)
    again = A.from_dict(A.to_dict(compose))
    again.set_random_seed(3)
    out = compose(image=image)["image"]
    assert out.shape == shape
    assert out.dtype == np.uint8
    assert (out != before).any()
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(again(image=image)["image"], out)


def test_given_transforms_are_not_modified() -> None:
    compose = A.Compose([A.GaussNoise(p=1)], seed=1)
    first = compose(image=FACES[0])["image"]
    compose.set_random_seed(1)
    run(compose)
    np.testing.assert_array_equal(compose(image=FACES[0])["image"], first)


def test_description_contains_plain_values() -> None:
    described = build_augment("strong").to_dict()
    assert described["__version__"] == A.__version__
    names = [t["__class_fullname__"] for t in described["transform"]["transforms"]]
    ours = "mfer_lightning.data.augment.transforms"
    assert names == ["HorizontalFlip", f"{ours}.RandomWarp", f"{ours}.RandomLight", "SomeOf", "CoarseDropout"]
    assert described["transform"]["transforms"][1] == {
        "__class_fullname__": f"{ours}.RandomWarp",
        **{"shift": 0.08, "scale": 0.15, "rotate": 15.0, "p": 1.0},
    }
    assert A.to_dict(A.from_dict(described)).keys() == described.keys()
    unnamed = Augment([A.Compose([A.Lambda(image=run)])]).to_dict()  # a Lambda without a name cannot be described
    assert unnamed["transform"]["transforms"] == [{"__class_fullname__": "Compose"}]
    assert describe_augment(None) is None
    assert describe_augment(lambda *_: _) is None


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (options("os.system", command="true"), "names `os.system`, which is not allowed: only names"),
        (options("albumentations.from_dict", transform_dict={}), "no such public class"),
        (options("albumentations._internal"), "no such public class"),
        (options("albumentations.BboxParams", format="coco"), "is not a BasicTransform or BaseCompose"),
        (options("albumentations.core.serialization.from_dict"), "which"),
        (options("albumentations.pytorch.ToTensorV2"), "which"),
        (options("mfer_lightning.data.augment.Augment", transforms=[]), "is not a BasicTransform or BaseCompose"),
        (options("mfer_lightning.data.augment.build_augment", spec="none"), "no such public class"),
        (options("albumentations.OneOf", transforms=[options("os.system")]), r"x.transforms\[0\] names `os.system`"),
        (options("albumentations.OneOf"), "lacks a value for `transforms`"),
        (options("albumentations.GaussianBlurr"), "did you mean 'GaussianBlur'"),
        (options("albumentations.GaussianBlur", prob=1), "augment.x has no option `prob`"),
        (options("albumentations.GaussianBlur", p="often"), "augment.x.p=often: the value must be a number"),
        (options("albumentations.GaussianBlur", p=1.5), "augment.x.p=1.5: .* less than or equal to 1"),
        (options("albumentations.GaussianBlur", blur_limit=[None, 3]), "blur_limit"),
        (options("albumentations.Normalize"), "x, Normalize: an augmentation must return uint8 .* returned float32"),
        (options("albumentations.Resize", height=20, width=20), r"x, Resize: .* returned uint8 of shape \(20, 20, 3\)"),
        (options("albumentations.RandomCrop", height=200, width=200), "x, RandomCrop: it fails on a face"),
        (options("albumentations.MaskDropout"), "x, MaskDropout: it fails on a face"),
        (options("albumentations.Lambda", image="lower"), "x, Lambda: it fails on a face"),
        (options("albumentations.OneOf", transforms=[None]), "augment"),
        (options("mfer_lightning.data.augment.RandomWarp", rotate=500), "augment.x.rotate=500: .* within"),
        (options("mfer_lightning.data.augment.RandomLight", p=-1), "augment.x.p=-1: .* within"),
        ({"p": 0.2}, "augment.x has no `_target_`"),
        (3, "augment.x is not an option of the augmentation"),
    ],
)
def test_invalid_pipelines_raise_one_clear_error(step: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as refused:
        build_augment({**STANDARD, "x": step}, size=48)
    assert "\n" not in str(refused.value)


def test_transforms_in_a_list_cannot_be_changed_by_name() -> None:
    with pytest.raises(UserError, match=r"e.g. augment.flip.p=0.1. The names are flip, warp, light"):
        build_augment({**STANDARD, "transforms": {"0": {"p": 0.1}}})


@pytest.mark.parametrize("spec", [[3], ["HorizontalFlip"], [A.HorizontalFlip(), lambda x: x]])
def test_list_of_non_transforms_is_rejected(spec: Any) -> None:
    with pytest.raises(UserError, match="to contain albumentations transforms, but got"):
        build_augment(spec)


def test_unknown_argument_raises_an_error_instead_of_a_warning() -> None:
    with pytest.warns(UserWarning, match="not valid"):
        careless = A.GaussianBlur(probability=1)
    with pytest.raises(UserError, match="probability"):
        build_augment([careless])


def test_transform_that_fails_during_training_raises_one_clear_error() -> None:
    augment = build_augment([A.RandomCrop(30, 30, p=1)])
    with pytest.raises(UserError, match=r"transforms\[0\], RandomCrop: .* returned uint8 of shape \(30, 30, 3\)"):
        augment(FACES.copy(), 0, np.zeros(24, dtype=np.int64), ROWS)


def test_datamodule_tries_a_pipeline_out_when_the_size_is_known() -> None:
    small = {"root": "", "train_size": 32, "val_size": 8, "test_size": 8, "batch_size": 8}
    pictures = {}
    for workers in (0, 1):
        module = FacsDataModule(augment=A.Compose([A.ToGray(p=1), A.GaussNoise()]), num_workers=workers, **small)
        module.setup("fit")
        pictures[workers] = np.concatenate([b["image"].numpy() for b in module.train_dataloader()])
    np.testing.assert_array_equal(pictures[0], pictures[1])
    with pytest.raises(UserError, match="Normalize"):
        FacsDataModule(augment=[A.Normalize()], size=32, **small)


PLUGIN = """
import albumentations as A

class Grain(A.ImageOnlyTransform):
    def __init__(self, strength=8, p=0.5):
        super().__init__(p=p)
        self.strength = strength

    def apply(self, img, **params):
        noise = self.random_generator.integers(-self.strength, self.strength + 1, img.shape)
        return (img.astype(int) + noise).clip(0, 255).astype("uint8")

class Other:
    pass
"""


def test_plugin_transform_can_be_used_in_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "grainy_lab.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(tmp_path))
    spec = {**STANDARD, "grain": options("grainy_lab.Grain", strength=5, p=1.0)}
    with pytest.raises(UserError, match="is not a loaded plugin"):
        build_augment(spec)
    with plugins_loaded(["grainy_lab"]):
        changed = np.abs(run(spec).astype(int) - run("standard"))
        assert 0 < changed.max() <= 5
        np.testing.assert_array_equal(run(spec), run(spec))
        for node, message in (
            (options("grainy_lab.Other"), "is not a BasicTransform"),
            (options("grainy_lab.Grain", power=1), "augment.x has no option `power`"),
        ):
            with pytest.raises(UserError, match=message):
                build_augment({**STANDARD, "x": node})
