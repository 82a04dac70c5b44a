from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from mfer_lightning.data.dataset import draw
from mfer_lightning.data.datasets import FERPlusDataModule

Visit = tuple[int, int]


def module(root: Path, **options: object) -> FERPlusDataModule:
    defaults = {"size": 48, "augment": "strong", "target": "probability", "batch_size": 16, "seed": 5}
    datamodule = FERPlusDataModule(root, **{**defaults, **options})
    datamodule.setup()
    return datamodule


def visits(loader: DataLoader, epochs: list[int]) -> dict[Visit, tuple[np.ndarray, int, list[float]]]:
    """Everything a training run would see: (epoch, row) -> pixels, label, target."""
    seen = {}
    for epoch in epochs:
        loader.sampler.set_epoch(epoch)
        for batch in loader:
            for i, row in enumerate(batch["index"].tolist()):
                pixels = batch["image"][i].contiguous().numpy().copy()
                seen[(epoch, row)] = (pixels, int(batch["label"][i]), batch["target"][i].tolist())
    return seen


def assert_same(a: dict, b: dict) -> None:
    assert a.keys() == b.keys()
    for key in a:
        np.testing.assert_array_equal(a[key][0], b[key][0])
        assert a[key][1:] == b[key][1:]


@pytest.fixture(scope="module")
def reference(ferplus_root: Path) -> dict:
    return visits(module(ferplus_root).train_dataloader(), [0, 1, 2])


def test_every_face_is_seen_and_epochs_differ(reference: dict) -> None:
    assert len(reference) == 3 * 64
    changed = [not np.array_equal(reference[(0, row)][0], reference[(1, row)][0]) for row in range(64)]
    assert np.mean(changed) > 0.95
    drawn = [[reference[(e, row)][1] for row in range(64)] for e in range(3)]
    assert drawn[0] != drawn[1]


@pytest.mark.parametrize("workers", [0, 2, 4])
def test_number_of_workers_has_no_effect(ferplus_root: Path, reference: dict, workers: int) -> None:
    assert_same(visits(module(ferplus_root, num_workers=workers).train_dataloader(), [0, 1, 2]), reference)


def test_resuming_has_no_effect(ferplus_root: Path, reference: dict) -> None:
    """A new process that starts with epoch 2 gets the same data as the uninterrupted run."""
    resumed = visits(module(ferplus_root, num_workers=1).train_dataloader(), [2])
    assert_same(resumed, {key: value for key, value in reference.items() if key[0] == 2})


def test_number_of_ranks_has_no_effect(ferplus_root: Path, reference: dict) -> None:
    from unittest import mock

    together: dict = {}
    for rank in range(2):
        datamodule = module(ferplus_root)
        with mock.patch.object(datamodule, "_world", return_value=(2, rank)):
            loader = datamodule.train_dataloader()
        assert loader.batch_size == 8
        mine = visits(loader, [0, 1, 2])
        assert not together.keys() & mine.keys()
        together |= mine
    assert_same(together, reference)


def test_cache_has_no_effect(ferplus_root: Path, reference: dict) -> None:
    assert_same(visits(module(ferplus_root, cache="none").train_dataloader(), [0, 1, 2]), reference)


def test_seed_changes_order_augmentation_and_sampled_labels(ferplus_root: Path, reference: dict) -> None:
    other = visits(module(ferplus_root, seed=6).train_dataloader(), [0])
    assert list(other) != [key for key in reference if key[0] == 0]
    assert any(not np.array_equal(other[key][0], reference[key][0]) for key in other)


def test_single_face_matches_the_batch(ferplus_root: Path) -> None:
    dataset = module(ferplus_root).train_dataset
    batch = dataset.__getitems__([(3, 0), (3, 1), (4, 1)])
    for i, key in enumerate([(3, 0), (3, 1), (4, 1)]):
        for name, value in dataset[key].items():
            assert torch.equal(value, batch[name][i])
    assert torch.equal(dataset[1]["image"], dataset[(0, 1)]["image"])


def test_batch_has_the_documented_keys_shapes_and_dtypes(ferplus_root: Path) -> None:
    batch = next(iter(module(ferplus_root).train_dataloader()))
    kinds = {name: (tuple(value.shape), value.dtype) for name, value in batch.items()}
    assert kinds == {
        "image": ((16, 3, 48, 48), torch.uint8),
        "label": ((16,), torch.int64),
        "target": ((16, 8), torch.float32),
        "index": ((16,), torch.int64),
    }
    assert batch["image"].is_contiguous(memory_format=torch.channels_last)


def test_padding_keeps_the_shape_and_is_marked_by_index(ferplus_root: Path) -> None:
    datamodule = module(ferplus_root)
    batch = datamodule.val_dataset.__getitems__([(0, 2), (0, -1)])
    assert batch["index"].tolist() == [int(datamodule.splits.val.rows[2]), -1]
    assert batch["image"].shape == (2, 3, 48, 48)


def test_position_past_the_end_raises_index_error(ferplus_root: Path) -> None:
    with pytest.raises(IndexError, match="below 16"):
        module(ferplus_root).val_dataset[16]


def test_evaluation_targets_are_not_sampled(ferplus_root: Path) -> None:
    datamodule = module(ferplus_root)
    batch = next(iter(datamodule.val_dataloader()))
    np.testing.assert_array_equal(batch["target"].numpy(), datamodule.splits.val.target[:16])
    assert batch["label"].tolist() == datamodule.splits.val.label[:16].tolist()


def test_sampled_labels_follow_the_distribution() -> None:
    target = np.array([[0.0, 0.2, 0.5, 0.3]], dtype=np.float32).repeat(4000, axis=0)
    label, one_hot = draw(target, np.random.default_rng(0).random(4000))
    np.testing.assert_allclose(np.bincount(label, minlength=4) / 4000, target[0], atol=0.03)
    np.testing.assert_array_equal(one_hot.argmax(axis=1), label)
    assert (one_hot.sum(axis=1) == 1).all()


def test_classes_of_zero_weight_are_never_sampled() -> None:
    target = np.array([[0.0, 1.0, 0.0]] * 2, dtype=np.float32)
    assert draw(target, np.array([0.0, np.nextafter(1, 0)]))[0].tolist() == [1, 1]
