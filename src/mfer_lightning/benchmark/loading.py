"""Compare our data loader with the usual loader for torchvision datasets, from files to normalised batches."""

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
#: Maximum number of distinct faces. The others are copies, because rendering a face takes longer than loading it.
DISTINCT = 512


def write_faces(root: Path, count: int, side: int, suffix: str = ".jpg") -> None:
    """Write synthetic faces as square images to ``<root>/<partition>/<class>/``.

    Args:
        root: folder of the dataset.
        count: number of training faces; there are 80 validation faces.
        side: side of the images in pixels.
        suffix: ``".jpg"`` (quality 95) or ``".png"``.
    """
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
    """Return the usual loader for a torchvision dataset; iterating over it gives one epoch.

    Args:
        root: folder of the dataset.
        batch: batch size.
        workers: number of loader workers.
        size: side in pixels to which images are resized.
    """
    steps = [transforms.Resize((size, size)), transforms.RandomHorizontalFlip()]
    steps += [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    folder = datasets.ImageFolder(str(root / "train"), transforms.Compose(steps))
    return DataLoader(folder, batch, shuffle=True, num_workers=workers, drop_last=True, persistent_workers=workers > 0)


def our_loader(root: Path, cache: Path, batch: int, workers: int, side: int) -> DataLoader[Any]:
    """Return the loader of this package for the same faces.

    Args:
        root: folder of the dataset.
        cache: folder for decoded images.
        batch: batch size.
        workers: number of loader workers.
        side: side of the cached images in pixels.
    """
    datamodule = FolderDataModule(
        root, augment="paper", batch_size=batch, num_workers=workers, size=side, cache_dir=cache
    )
    datamodule.setup("fit")
    return datamodule.train_dataloader()


def measure_loader(
    folder: Path, faces: int, workers: tuple[int, ...], repeats: int, device: Device, *, stored: int = 100
) -> list[dict[str, Any]]:
    """Measure the throughput of both loaders, from files to normalised faces of 224 pixels on the device.

    Our loader transfers faces to the device at their stored size, and they are resized there, as in ``mfer train``.

    Args:
        folder: folder for faces and cache.
        faces: number of training faces.
        workers: numbers of loader workers to measure.
        repeats: number of epochs of each loader, in turn.
        device: the device.
        stored: side of the stored face images in pixels.

    Returns:
        One row per number of workers: ``workers``, ``faces_per_second`` of both loaders, and the speed-up ``ratio``.
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
