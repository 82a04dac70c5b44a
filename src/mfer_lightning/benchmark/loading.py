"""Compare our data loader with torchvision's usual one: from files to normalised batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from mfer_lightning.benchmark.device import Device
from mfer_lightning.benchmark.timing import interleaved, rates, speedup
from mfer_lightning.data.datasets.folder import FolderDataModule
from mfer_lightning.data.facs.generator import FacsGenerator
from mfer_lightning.emotions import EMOTIONS
from mfer_lightning.nn import Preprocess

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
#: Number of distinct faces; the others are copies, since drawing a face takes longer than anything measured here.
DISTINCT = 512


def write_faces(root: Path, count: int, side: int, suffix: str = ".jpg") -> None:
    """Write synthetic faces as square files in the usual layout: folders of partitions, then of classes."""
    faces = FacsGenerator(size=side, seed=0)
    for partition, share in (("train", count), ("val", 80)):
        distinct = min(share, DISTINCT)
        label = faces.labels(partition, distinct).label
        for i in range(distinct):
            _, encoded = cv2.imencode(suffix, faces.image(partition, i)[:, :, ::-1])  # JPEG at quality 95
            folder = root / partition / EMOTIONS[label[i]]
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(i, share, distinct):
                (folder / f"{number:05d}{suffix}").write_bytes(encoded.tobytes())


def their_loader(root: Path, batch: int, workers: int, size: int) -> DataLoader[Any]:
    """Return torchvision's usual loader; each iteration is one epoch."""
    steps = [transforms.Resize((size, size)), transforms.RandomHorizontalFlip()]
    steps += [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    folder = datasets.ImageFolder(str(root / "train"), transforms.Compose(steps))
    return DataLoader(folder, batch, shuffle=True, num_workers=workers, drop_last=True, persistent_workers=workers > 0)


def our_loader(root: Path, cache: Path, batch: int, workers: int, side: int) -> DataLoader[Any]:
    """Return this project's loader for the same faces."""
    datamodule = FolderDataModule(
        root, augment="paper", batch_size=batch, num_workers=workers, size=side, cache_dir=cache
    )
    datamodule.setup("fit")
    return datamodule.train_dataloader()


def measure_loader(
    folder: Path, faces: int, workers: tuple[int, ...], repeats: int, device: Device, *, stored: int = 100
) -> list[dict[str, Any]]:
    """Compare faces per second of both loaders, normalised to 224 pixels on the device, with each number of workers.

    Ours transfers faces to the device at their stored size and resizes them there, as ``mfer train`` does.
    """
    root, batch = folder / "faces", min(64, faces)
    write_faces(root, faces, side=stored)
    preprocess = Preprocess(size=224).to(device.type)
    rows = []
    for number in workers:
        theirs = their_loader(root, batch, number, 224)
        ours = our_loader(root, folder / "cache", batch, number, stored)

        def plain(loader: Any = theirs) -> None:
            for image, _ in loader:
                assert image.to(device.type).shape[1:] == (3, 224, 224)

        def packed(loader: Any = ours) -> None:
            for item in loader:
                assert preprocess(item["image"].to(device.type)).shape[1:] == (3, 224, 224)

        samples = interleaved({"naive": plain, "ours": packed}, repeats, synchronise=device.synchronise)
        ratio = round(speedup(samples["naive"], samples["ours"]).wall, 2)
        speeds = {name: round(rate) for name, rate in rates(samples, faces // batch * batch).items()}
        rows.append({"workers": number, "faces_per_second": speeds, "ratio": ratio})
    return rows
