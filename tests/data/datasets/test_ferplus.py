from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from data.trees import write_ferplus, write_ferplus_pair

from mfer_lightning.data.datasets import FERPlusDataModule
from mfer_lightning.errors import UserError


def rows_of(loader) -> list[int]:
    return [row for batch in loader for row in batch["index"].tolist()]


def test_setup_defines_classes_splits_and_loaders(ferplus_root: Path) -> None:
    datamodule = FERPlusDataModule(ferplus_root, batch_size=16)
    datamodule.setup()
    assert datamodule.class_names[0] == "neutral"
    assert datamodule.num_classes == 8
    assert datamodule.class_counts == (8,) * 8
    assert datamodule.protocol.name == "ferplus@majority"
    assert datamodule.size == 48
    assert len(datamodule.data_hash) == 64
    assert [len(d) for d in (datamodule.train_dataset, datamodule.val_dataset, datamodule.test_dataset)] == [64, 16, 16]
    assert sum("a complete copy" in note for note in datamodule.notes) == 3


@pytest.mark.parametrize("split", ["val", "test"])
def test_evaluation_yields_each_face_once_as_stored_on_disk(ferplus_root: Path, split: str) -> None:
    datamodule = FERPlusDataModule(ferplus_root, augment="strong", eval_batch_size=5)
    datamodule.setup()
    loader = datamodule.predict_dataloader(split)
    assert sorted(rows_of(loader)) == datamodule.splits[split].rows.tolist()
    batch = next(iter(loader))
    for image, row in zip(batch["image"], batch["index"].tolist(), strict=True):
        stored = cv2.imread(str(ferplus_root / str(datamodule.index.path[row])), cv2.IMREAD_GRAYSCALE)
        for channel in image.numpy():
            np.testing.assert_array_equal(channel, stored)


def test_training_images_can_be_predicted_without_augmentation(ferplus_root: Path) -> None:
    datamodule = FERPlusDataModule(ferplus_root, augment="strong")
    datamodule.setup("fit")
    a, b = (next(iter(datamodule.predict_dataloader("train")))["image"] for _ in range(2))
    assert (a == b).all()
    assert len(rows_of(datamodule.predict_dataloader("train"))) == 64


def test_only_requested_partitions_are_decoded(ferplus_root: Path, tmp_path: Path) -> None:
    def built() -> set[str]:
        return {path.name.split("-")[1] for path in tmp_path.glob("*.npy")}

    datamodule = FERPlusDataModule(ferplus_root, cache_dir=tmp_path)
    datamodule.setup("test")
    assert built() == {"test"}
    datamodule.setup("fit")
    assert built() == {"train", "val", "test"}


def test_images_are_cached_at_the_requested_size(ferplus_root: Path) -> None:
    datamodule = FERPlusDataModule(ferplus_root, size=32)
    datamodule.setup("validate")
    assert next(iter(datamodule.val_dataloader()))["image"].shape[2:] == (32, 32)


def test_csv_pair_trains_like_the_folders(tmp_path: Path) -> None:
    pixels = write_ferplus_pair(tmp_path)
    datamodule = FERPlusDataModule(tmp_path, batch_size=8, augment="none")
    datamodule.setup()
    batch = next(iter(datamodule.train_dataloader()))
    for image, row in zip(batch["image"], batch["index"].tolist(), strict=True):
        number = int(str(datamodule.index.path[row])[-11:-4])
        np.testing.assert_array_equal(image.numpy()[0], pixels[number])


def test_holdout_does_not_depend_on_the_run_seed(ferplus_root: Path) -> None:
    def split(seed: int) -> list[int]:
        datamodule = FERPlusDataModule(ferplus_root, protocol="dev", seed=seed)
        datamodule.setup("validate")
        return datamodule.splits.val.rows.tolist()

    assert split(0) == split(1) == split(99)


def test_data_hash_distinguishes_datasets(ferplus_root: Path, tmp_path: Path) -> None:
    def mark(root: Path = ferplus_root, **options) -> str:
        datamodule = FERPlusDataModule(root, **options)
        datamodule.setup("predict")
        return datamodule.data_hash

    marks = [
        mark(),
        mark(protocol="dev"),
        mark(target="crossentropy"),
        mark(label_noise=0.1),
        mark(label_noise=0.1, label_noise_seed=1),
        mark(write_ferplus(tmp_path / "other", {"train": 64, "val": 16, "test": 15})),
    ]
    assert len(set(marks)) == len(marks)
    assert mark(seed=4, batch_size=8, augment="strong") == marks[0]


def test_label_noise_changes_only_training_labels(ferplus_root: Path) -> None:
    clean, noisy = FERPlusDataModule(ferplus_root), FERPlusDataModule(ferplus_root, label_noise=0.25)
    clean.setup()
    noisy.setup()
    assert (clean.splits.train.label != noisy.splits.train.label).sum() == 16
    np.testing.assert_array_equal(clean.splits.val.label, noisy.splits.val.label)
    np.testing.assert_array_equal(clean.splits.test.label, noisy.splits.test.label)
    assert noisy.noise_manifest is not None
    assert any(noisy.noise_manifest.hash[:12] in note for note in noisy.notes)


def test_test_set_can_be_tracked_during_training(ferplus_root: Path) -> None:
    datamodule = FERPlusDataModule(ferplus_root, track_test=True)
    datamodule.setup("fit")
    val, test = datamodule.val_dataloader()
    assert rows_of(val) == datamodule.splits.val.rows.tolist()
    assert rows_of(test) == datamodule.splits.test.rows.tolist()


def test_without_a_selection_set_there_is_no_validation(ferplus_root: Path) -> None:
    datamodule = FERPlusDataModule(ferplus_root, protocol="ran")
    datamodule.setup("fit")
    assert datamodule.val_dataset is None
    assert datamodule.val_dataloader() == []
    assert len(datamodule.train_dataset) == 80
    next(iter(datamodule.train_dataloader()))  # images of two partitions in one batch


class TestErrors:
    def test_missing_folder(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="FERPlus was not found"):
            FERPlusDataModule(tmp_path / "x").setup("fit")

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"protocol": "majorty"}, UserError, "did you mean 'majority'"),
            ({"sampler": "balance"}, UserError, "did you mean 'balanced'"),
            ({"augment": "strng"}, UserError, "did you mean 'strong'"),
            ({"cache": "ram"}, UserError, "memmap"),
            ({"batch_size": 0}, ValueError, "`batch_size`"),
            ({"num_workers": -1}, ValueError, "`num_workers`"),
            ({"size": 0}, ValueError, "`size`"),
            ({"label_noise": 1.0}, ValueError, "`label_noise`"),
        ],
    )
    def test_invalid_options(self, ferplus_root: Path, options: dict, error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            FERPlusDataModule(ferplus_root, **options)

    def test_invalid_target(self, ferplus_root: Path) -> None:
        with pytest.raises(UserError, match=r"dataset\.target=mult is not a target rule: did you mean 'multi'"):
            FERPlusDataModule(ferplus_root, target="mult").setup("fit")

    def test_batch_larger_than_the_training_set(self, ferplus_root: Path) -> None:
        datamodule = FERPlusDataModule(ferplus_root, batch_size=65)
        with pytest.raises(UserError, match=r"has 64 faces, fewer than loader\.batch_size=65"):
            datamodule.setup("fit")  # before images are decoded

    def test_batch_not_divisible_by_devices(self, ferplus_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        datamodule = FERPlusDataModule(ferplus_root, batch_size=16)
        datamodule.setup("fit")
        monkeypatch.setattr(datamodule, "_world", lambda: (3, 0))
        with pytest.raises(UserError, match=r"divided among 3 devices. Use a multiple of 3, e\.g\. 18"):
            datamodule.train_dataloader()

    def test_missing_test_set_cannot_be_evaluated(self, tmp_path: Path) -> None:
        datamodule = FERPlusDataModule(write_ferplus(tmp_path / "f", {"train": 8, "val": 8}))
        datamodule.setup()
        assert datamodule.test_dataset is None
        with pytest.raises(UserError, match="There is no test split"):
            datamodule.test_dataloader()

    @pytest.mark.parametrize("cache", ["memmap", "none"])
    def test_zero_byte_image_is_named(self, tmp_path: Path, cache: str) -> None:
        root = write_ferplus(tmp_path / "f", {"train": 8, "val": 8})
        (root / "FER2013Train" / "fer0000003.png").write_bytes(b"")
        datamodule = FERPlusDataModule(root, batch_size=8, cache=cache, cache_dir=tmp_path / "cache")
        with pytest.raises(UserError, match=r"fer0000003\.png is empty"):
            for _ in setup_and_train(datamodule):
                pass
        assert list((tmp_path / "cache").glob("*.npy")) == []

    def test_images_of_several_sizes(self, tmp_path: Path) -> None:
        root = write_ferplus(tmp_path / "f", {"train": 8, "val": 8})
        path = str(root / "FER2013Valid" / "fer0000008.png")
        cv2.imwrite(path, np.zeros((50, 40), dtype=np.uint8))
        with pytest.raises(UserError, match=r"differ in size.*40 x 50.*dataset\.size"):
            FERPlusDataModule(root, cache_dir=tmp_path / "cache").setup("fit")


def setup_and_train(datamodule: FERPlusDataModule):
    datamodule.setup("fit")
    yield from datamodule.train_dataloader()
